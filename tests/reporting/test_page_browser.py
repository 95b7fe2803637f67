"""The page in a real browser: headless Chromium, driven by Playwright. Skipped where one of them is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from page_material import SCRIPT, material

from harness.reporting.page import page
from harness.reporting.page.view import STATIC_ROWS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator
    from playwright.sync_api import Page as Tab

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (1280, 390)
Open = Callable[..., "Tab"]


def chromium() -> str:
    """A Chromium that runs; Ubuntu's package of that name is a stub that does not."""
    for path in filter(None, map(shutil.which, NAMES)):
        if subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip("no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    path = chromium()
    # Chromium's own sandbox refuses to work for root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=options)
        yield started
        started.close()


@pytest.fixture
def report_page(tables: dict[str, pd.DataFrame], regimes: list[str], tmp_path: Path) -> Path:
    """An index.html whose table of cells is longer than what stands in the HTML."""
    parts = material(tables, regimes)
    cells = parts["tables"]["cells"]
    many = [cells.assign(uid=[f"{copy:04d}" for _ in range(len(cells))]) for copy in range(30)]
    parts["tables"]["cells"] = pd.concat(many, ignore_index=True)
    path = tmp_path / "index.html"
    path.write_text(page(**parts), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Browser, report_page: Path) -> Iterator[Open]:
    """Opens the page; whatever the console said is an error in the end, and so is every request but the page's own."""
    said: list[str] = []
    requests: list[str] = []
    tabs: list[Tab] = []

    def open_tab(width: int = 1280, **options: Any) -> Tab:
        tab = browser.new_page(viewport={"width": width, "height": 900}, **options)
        tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(report_page.as_uri())
        tabs.append(tab)
        return tab

    yield open_tab
    for tab in tabs:
        tab.close()
    assert said == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def column(tab: Tab, table: str, name: str) -> list[str]:
    """The texts of a column as they stand."""
    heads = [text.strip() for text in tab.locator(f"#table-{table} thead th").all_text_contents()]
    cells = tab.locator(f"#table-{table} tbody tr > :nth-child({heads.index(name) + 1})")
    return [text.strip() for text in cells.all_text_contents()]


def head(tab: Tab, table: str, name: str) -> Locator:
    return tab.locator(f"#table-{table} thead th", has=tab.get_by_role("button", name=name, exact=True))


def choose(tab: Tab, table: str, name: str, value: str) -> None:
    label = tab.locator(f"#table-{table} .controls label").filter(has_text=name).first
    label.locator("select").select_option(label=value)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_without_a_word_on_the_console(opened: Open, scheme: str) -> None:
    tab = opened(color_scheme=scheme)
    assert tab.locator("h1").inner_text().startswith("grid")
    assert tab.locator("#summary li").count() == 2


def test_a_click_on_a_header_sorts_by_number(opened: Open) -> None:
    tab = opened()
    for direction in ("ascending", "descending"):
        head(tab, "generalization", "mean").get_by_role("button").click()
        assert head(tab, "generalization", "mean").get_attribute("aria-sort") == direction
        means = column(tab, "generalization", "mean")
        known = [float(text) for text in means if text != "n/a"]
        assert known == sorted(known, reverse=direction == "descending")
        assert len(known) > 10
        assert all(text == "n/a" for text in means[len(known) :])


def test_numbers_sort_as_numbers_and_not_as_text(opened: Open) -> None:
    tab = opened()
    sort = "#table-generation thead th"
    tab.locator(sort, has=tab.get_by_role("button", name="top_k", exact=True)).get_by_role("button").click()
    assert list(dict.fromkeys(column(tab, "generation", "top_k"))) == ["1", "5", "20", "all"]


def test_the_keyboard_sorts_too(opened: Open) -> None:
    tab = opened()
    head(tab, "generalization", "sd").get_by_role("button").focus()
    tab.keyboard.press("Enter")
    assert head(tab, "generalization", "sd").get_attribute("aria-sort") == "ascending"


def test_words_and_choices_filter(opened: Open) -> None:
    tab = opened()
    every = len(column(tab, "generalization", "split"))
    choose(tab, "generalization", "split", "shifted")
    assert set(column(tab, "generalization", "split")) == {"shifted"}
    tab.locator("#table-generalization input").fill("SENTIMENT standard")
    assert set(column(tab, "generalization", "regime")) == {"standard-0.1"}
    assert set(column(tab, "generalization", "task")) == {"toy-sentiment"}
    tab.locator("#table-generalization input").fill("nothing of the kind")
    assert column(tab, "generalization", "split") == []
    assert f"0 of 0 rows that match, of {every}" in tab.locator("#table-generalization .count").inner_text()


def test_rows_beyond_the_first_are_sorted_filtered_and_shown_on_demand(opened: Open) -> None:
    tab = opened()
    shown = column(tab, "cells", "uid")
    assert len(shown) > STATIC_ROWS
    tab.locator("#table-cells .more").click()
    assert len(column(tab, "cells", "uid")) > len(shown)
    head(tab, "cells", "uid").get_by_role("button").click()
    head(tab, "cells", "uid").get_by_role("button").click()
    assert column(tab, "cells", "uid")[0] == "0029"
    choose(tab, "cells", "status", "error")
    assert set(column(tab, "cells", "status")) == {"error"}


def test_hostile_text_is_shown_as_text(opened: Open) -> None:
    tab = opened()
    sample = tab.locator("#samples td bdi").first
    assert SCRIPT in sample.inner_text()
    assert tab.locator("#samples script, #samples img").count() == 0
    assert tab.locator("script:not([type])").count() == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(opened: Open, width: int) -> None:
    tab = opened(width)
    for details in tab.locator("details").all():
        details.evaluate("element => { element.open = true; }")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    inside = """width => [...document.querySelectorAll("body *")].filter((element) => {
        const box = element.getBoundingClientRect();
        return box.right > width + 1 && box.width && !element.closest(".scroll") && !element.closest(".skip");
    }).map((element) => element.outerHTML.slice(0, 80))"""
    assert tab.evaluate(inside, width) == []


def test_without_javascript_summary_claims_figures_and_first_rows_are_there(opened: Open) -> None:
    tab = opened(java_script_enabled=False)
    assert tab.locator("#summary li").count() == 2
    assert tab.locator("#claims .badge").first.is_visible()
    assert tab.locator("#figure-variance_shares img").is_visible()
    assert tab.locator("#table-generalization tbody tr").count() > 10
    assert tab.locator(".controls").count() == 0
