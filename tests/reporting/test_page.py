"""The page as a parser sees it: nothing from outside, nothing that runs, everything there."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from page_material import HOSTILE, LONG, SCRIPT, generations, material

from harness.reporting.figures import FIGURES
from harness.reporting.page import TEXT_COLUMNS, page
from harness.reporting.page.drawn import of_runs
from harness.reporting.page.samples import sample_views
from harness.reporting.page.values import sort_values
from harness.reporting.page.view import MOST_ROWS, STATIC_ROWS, table_view
from harness.reporting.tables import report_tables

VOID = ("meta", "link", "img", "br", "input", "hr")


class Page(HTMLParser):
    """Elements with their attributes and text; unclosed and wrongly closed elements are found."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.contents = {"script": [], "style": []}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in self.contents:
            self.contents[tag].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in self.contents:
            self.contents[self.open[-1]][-1] += data
        else:
            self.text += data

    def values(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture
def parts(tables, regimes):
    return material(tables, regimes)


@pytest.fixture
def html(parts):
    return page(**parts)


@pytest.fixture
def parsed(html):
    found = Page(html)
    assert found.open == []
    return found


def test_nothing_comes_from_outside(html, parsed):
    for reference in (*parsed.values("src"), *parsed.values("href")):
        assert re.fullmatch(r"data:.*|#[a-z_]+|[a-z_]+\.(csv|svg|png)", reference), reference
    assert {tag for tag, _ in parsed.elements} <= {
        *("html", "head", "body", "meta", "title", "style", "script", "link", "header", "nav", "main", "section"),
        *(
            "h1",
            "h2",
            "h3",
            "p",
            "a",
            "ul",
            "li",
            "span",
            "div",
            "table",
            "caption",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        ),
        *("figure", "figcaption", "img", "details", "summary", "bdi", "code", "q"),
    }
    for asset in (*parsed.contents["style"], *parsed.contents["script"]):
        assert not re.search(r"@import|url\(|https?:|fetch\(|XMLHttp|innerHTML", asset)
    assert not [name for _, attributes in parsed.elements for name in attributes if name.startswith("on")]


def test_the_policy_names_the_page_s_own_script_and_style_alone(parsed):
    policy = next(a["content"] for _, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    scripts = [a for tag, a in parsed.elements if tag == "script"]
    own = [c for a, c in zip(scripts, parsed.contents["script"], strict=True) if a.get("type") != "application/json"]
    for content in (*own, *parsed.contents["style"]):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert len(own) == 1
    assert "style" not in {name for _, attributes in parsed.elements for name in attributes}


def test_what_a_model_or_a_user_wrote_is_text(html, parsed):
    assert SCRIPT not in html
    assert parsed.text.count(SCRIPT) >= 10  # name, description, note of every table, methods, samples
    assert "{{ 7 * 7 }}" in parsed.text
    assert not re.search("[\x00-\x08\ud800-\udfff]", html)
    html.encode("utf-8")


def test_rows_in_scripts_are_json_that_cannot_end_its_element(parts):
    table = parts["tables"]["cells"].assign(reason=HOSTILE)
    cells = pd.concat([table] * 8, ignore_index=True)
    html = page(**{**parts, "tables": {**parts["tables"], "cells": cells}})
    found = Page(html)
    blocks = [json.loads(content) for content in found.contents["script"] if content.startswith("[[")]
    assert any(HOSTILE in row[0] for block in blocks for row in block)
    for content in found.contents["script"]:
        assert not content.startswith("[[") or not re.search("[<>&\u2028]", content)


def test_the_same_arguments_give_the_same_bytes(parts, html, tables, regimes):
    assert page(**parts) == html
    assert page(**material(tables, regimes)) == html


def test_every_table_and_figure_is_there_with_its_data(parsed, parts):
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    for name in parts["tables"]:
        assert f"table-{name}" in ids
    for name in FIGURES:
        assert f"figure-{name}" in ids
        assert f"table-data-{name}" in ids
    for sentence in ("The inference die dominates distinct-2 per text.", "First part.", "torch (differs)"):
        assert sentence in parsed.text


def test_links_lead_to_files_of_the_report(report):
    found = Page((report / "index.html").read_text(encoding="utf-8"))
    files = [href for href in found.values("href") if not href.startswith(("#", "data:"))]
    assert "learning_curves.csv" in files
    assert {name for name in files if not (report / name).is_file()} == set()


def test_anchors_lead_somewhere(parsed):
    ids = set(parsed.values("id"))
    assert {href[1:] for href in parsed.values("href") if href.startswith("#")} <= ids


def test_claims_stand_with_their_verdicts(parsed):
    marks = [a["data-badge"] for tag, a in parsed.elements if tag == "span" and "data-badge" in a]
    assert {"supported", "not supported", "undecided", "not applicable"} <= set(marks)
    assert "Statement 0: A & <b>B</b> differ" in parsed.text
    assert parsed.text.count("undecided: 4") == 1  # counted once, for its one statement
    assert "about 12 more training replicates would decide" in parsed.text


def test_a_page_without_generation_or_anything_at_all(tables, regimes):
    of_runs_only = {name: table for name, table in tables.items() if name != "generation_metrics"}
    built = report_tables(of_runs_only, reference="none", regimes=regimes)
    for shown in (built, {name: table.iloc[:0] for name, table in built.items()}, {}):
        found = Page(page("quick", "", shown, {}, None, {}, [], "", []))
        assert {f"table-{name}" for name in shown} <= set(found.values("id"))
        assert "samples" not in found.values("id")
        assert "No cell tells its environment." in found.text


def test_a_large_report_stays_small(parts):
    generation = pd.concat([parts["tables"]["generation"].assign(note="a long note " * 5)] * 300, ignore_index=True)
    table = table_view("generation", generation)
    assert len(table.rows) == MOST_ROWS < table.total
    assert len(table.static) == STATIC_ROWS
    behind = [tuple(zip(texts, values, strict=True)) for texts, values in json.loads(table.rest)]
    assert (*table.static, *behind) == table.rows
    html = page(**{**parts, "tables": {**parts["tables"], "generation": generation}})
    assert f"{table.left_out} more rows are not on this page." in html
    assert len(html.encode()) < 10e6


def test_failed_cells_stand_first(parts):
    table = table_view("cells", parts["tables"]["cells"].iloc[::-1])
    at = [column.name for column in table.columns].index("status")
    statuses = [row[at][0] for row in table.rows]
    assert statuses == sorted(statuses, key=("error", "done").index)
    assert set(statuses) == {"error", "done"}


def test_headline_metrics_stand_first_and_no_row_is_lost(parts):
    generation = parts["tables"]["generation"]
    others = generation.assign(metric="zipf")
    table = table_view("generation", pd.concat([others, *[generation] * 3], ignore_index=True))
    at = [column.name for column in table.columns].index("metric")
    metrics = [row[at][0] for row in table.rows]
    assert table.headline == ("distinct-2", "replicate-distinctness")
    assert metrics == sorted(metrics, key=lambda metric: metric == "zipf")
    assert len(metrics) == 4 * len(generation)


def test_task_and_model_that_never_change_have_no_column(parts):
    table = table_view("generation", parts["tables"]["generation"])
    assert table.where == "toy-language / scratch:gpt2-tiny"
    assert {"task", "model"}.isdisjoint(column.name for column in table.columns)


def test_rounded_numbers_sort_by_their_full_value():
    table = pd.DataFrame(
        {"metric": ["a", "b", "c"], "mean": [0.12341, 0.12344, np.nan], "p": [1e-5, 0.04, np.nan], "share": 0.0103}
    )
    texts = {
        "metric": ["c", "a", "b"],
        "mean": ["n/a", "0.1234", "0.1234 [0.1, 0.2]"],
        "p": ["", "< 0.001", "0.040"],
        "share": ["1", "1", "1"],
    }
    values = sort_values(texts, table)
    assert values["mean"] == [None, 0.12341, 0.12344]
    assert values["p"] == [None, 1e-5, 0.04]
    assert values["share"] == [1.0, 1.0, 1.0]  # the text shows percent
    assert values["metric"] == [None, None, None]


def test_numbers_without_a_row_of_their_own_sort_by_their_text():
    table = pd.DataFrame({"metric": ["a", "a"], "mean": [1.0, 2.0]})
    texts = {"metric": ["a", "a"], "mean": ["2.0", "[-1.5, 3]"]}
    assert sort_values(texts, table)["mean"] == [2.0, -1.5]
    assert sort_values({"odd": ["1.2e-09"]}, table)["odd"] == [1.2e-09]


def test_samples_are_the_first_prompts_and_one_more_roll_of_either_die():
    texts = generations(["none", "standard-0.1"])
    views = sample_views(texts.sample(frac=1, random_state=1).sort_values("prompt", kind="stable"), ["none"])
    assert [view.prompt[-1] for view in views] == ["0", "1", "2"]
    view = views[1]
    assert view.settings == ("k=1", "k=5", "k=all")
    assert [texts for *_, texts in view.rows] == [
        ("none r0 k1 i0 p1", "none r0 k5 i0 p1", "none r0 kall i0 p1"),
        ("none r0 k1 i0 p1", "none r0 k5 i1 p1", "none r0 kall i1 p1"),
        ("none r1 k1 i0 p1", "none r1 k5 i0 p1", "none r1 kall i0 p1"),
        ("standard-0.1 r0 k1 i0 p1", "standard-0.1 r0 k5 i0 p1", "standard-0.1 r0 kall i0 p1"),
    ]
    assert "inference die rolled again" in view.rows[1][1]
    assert "training die rolled again" in view.rows[2][1]
    assert view.human == "human p1"


def test_long_texts_are_cut_and_missing_ones_are_named():
    texts = generations(["none"])
    texts = texts[(texts["top_k"] != "all") | (texts["inference_replicate"] == 0)]
    view = sample_views(texts[TEXT_COLUMNS], [])[0]
    greedy, five, every = view.rows[1][2]
    assert greedy == HOSTILE
    assert five is not None
    assert len(five) < len(LONG)
    assert five.endswith("[…]")
    assert every is None
    assert view.prompt.startswith("[…]")
    assert view.prompt.endswith("end of prompt 0")


def test_what_figures_of_runs_draw(tables, regimes):
    drawn = of_runs(tables, regimes)
    curves = drawn["learning_curves"]
    first = curves[(curves["task"] == "toy-language") & (curves["regime"] == "none") & (curves["step"] == 10)].iloc[0]
    assert first["mean"] == pytest.approx(0.5 + 0.2 + 0.03)
    assert (first["lowest"], first["highest"], first["replicates"]) == (
        pytest.approx(0.7),
        pytest.approx(0.76),
        3,
    )
    assert list(dict.fromkeys(curves["regime"])) == regimes[:3]
    assert set(drawn["dropout_rates"]["regime"]) == set(regimes[1:3])  # `none` stays at 0
    assert of_runs({}, regimes) == {}
