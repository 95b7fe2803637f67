"""Published numbers in every form of the report."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness.analysis.published import COLUMNS
from harness.reporting.report import write_report
from harness.reporting.tables import readable, report_tables
from harness.reporting.terminal import print_tables
from harness.spec.published_forms import PublishedOrdering, PublishedValue

HOSTILE = "[red]50%_linear|$x$ <b>"
WHERE = {"task": "toy-sentiment", "model": "scratch:bert-tiny", "split": "test", "metric": "loss"}
SOURCE = {"source": "A & B 2020 | <i>x</i>_y", "estimator": "best of 5 % of the evaluations", "same_estimator": True}
NUMBERS = [
    PublishedValue.model_construct(**WHERE, **SOURCE, regime="none", value=0.55, spread=0.0027, n=5, note=""),
    PublishedValue.model_construct(**WHERE, **{**SOURCE, "same_estimator": False}, regime="standard-0.1", value=9.0,
                                   note="other data"),
    PublishedValue.model_construct(**WHERE, **SOURCE, regime="broken", value=1.0, n=625, statistic="best"),
    PublishedOrdering.model_construct(**WHERE, **SOURCE, ordering=[HOSTILE, "standard-0.1", "none"]),
]  # fmt: skip


@pytest.fixture
def built(tables, regimes):
    return report_tables(tables, reference="none", regimes=regimes, published=NUMBERS)


def write(tables, regimes, out):
    write_report(tables, out, name="quick", reference="none", regimes=regimes, published=NUMBERS, say=lambda _: None)
    return {form: (out / f"published.{form}").read_text() for form in ("csv", "md", "tex")}


def test_the_readable_form_has_the_sources_own_digits(built):
    shown = readable("published", built["published"])
    assert shown["published"].tolist()[:3] == ["0.55 (sd 0.0027, 5 runs)", "9.0 (1 run)", "1.0 (best of 625 runs)"]
    assert shown["verdict"].tolist()[:3] == ["agrees", "does not agree", "undecided"]
    assert shown["same estimator"].tolist()[:2] == ["yes", "no"]
    assert shown["kind"].tolist() == ["value"] * 3 + ["ordering", "difference", "difference"]
    assert shown["regime"].tolist()[3:] == [f"{HOSTILE} < standard-0.1 < none", f"standard-0.1 - {HOSTILE}",
                                            "none - standard-0.1"]  # fmt: skip


def test_every_form_tells_source_estimator_rule_and_note(tables, regimes, tmp_path):
    forms = write(tables, regimes, tmp_path)
    markdown = forms["md"]
    for part in ("A & B 2020", "the evaluations", "95 % prediction interval", "every adjacent difference"):
        assert part.replace("&", "&amp;") in markdown
        assert part in forms["tex"]
    assert markdown.count("Measured there as") == 1
    assert "entry 1, 2, 3, 4: A" in markdown
    assert "other data" in markdown
    assert "broken: no cell is done" in markdown
    assert "<i>" not in markdown
    read = pd.read_csv(tmp_path / "published.csv", float_precision="round_trip")
    assert read.columns.tolist() == COLUMNS
    exact = report_tables(tables, reference="none", regimes=regimes, published=NUMBERS)["published"]
    np.testing.assert_array_equal(read["prediction_low"].to_numpy(), exact["prediction_low"].to_numpy(dtype=float))


def test_rebuilt_it_is_byte_identical(tables, regimes, tmp_path):
    shuffled = {name: table.sample(frac=1, random_state=8) for name, table in tables.items()}
    later = shuffled["cells"].assign(seconds=9.0, finished="2031-12-31T23:59:59")
    first = write(tables, regimes, tmp_path / "a")
    assert write({**shuffled, "cells": later}, regimes, tmp_path / "b") == first


def test_the_terminal_shows_the_verdicts_and_nothing_where_no_number_is_named(built, tables, regimes):
    console = Console(file=io.StringIO(), width=220, color_system=None)
    print_tables(built, console)
    assert "does not agree" in console.file.getvalue()
    assert "published numbers" in console.file.getvalue()
    console = Console(file=io.StringIO(), width=220, color_system=None)
    print_tables(report_tables(tables, reference="none", regimes=regimes), console)
    assert "published numbers" not in console.file.getvalue()


def test_a_report_without_published_numbers_says_so(report):
    assert "the grid names no published number" in (report / "published.md").read_text()
