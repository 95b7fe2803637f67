"""A loss that was never reached: counted, told, and never an ordinary number."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from harness.analysis.generalization import generalization
from harness.analysis.order import ordered
from harness.reporting.notes import footnotes
from harness.reporting.tables import readable

REGIMES = ["none", "standard"]
# Steps to the loss by regime and replicate; NaN: never reached.
STEPS = {"none": [10.0, 20.0, 30.0], "standard": [math.nan, 40.0, 60.0]}


@pytest.fixture
def reached(training: pd.DataFrame, make_training_row: Any) -> pd.DataFrame:
    rows = [
        make_training_row(f"{regime}{r}", regime, r, "validation", "steps-to-loss-0.6", value)
        for regime, values in STEPS.items()
        for r, value in enumerate(values)
    ]
    return pd.concat([training, pd.DataFrame(rows)], ignore_index=True)


def table(training: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    return generalization(training, cells, reference="none", regimes=REGIMES)


def row(found: pd.DataFrame, regime: str, metric: str = "steps-to-loss-0.6") -> dict[Any, Any]:
    rows = found[(found["regime"] == regime) & (found["metric"] == metric)]
    return rows.to_dict("records")[-1]


def test_what_was_never_reached_is_counted_apart(reached: pd.DataFrame, cells: pd.DataFrame) -> None:
    found = table(reached, cells)
    standard, none = row(found, "standard"), row(found, "none")
    assert (standard["n"], standard["undefined"], standard["mean"]) == (2, 1, 50.0)
    assert (none["n"], none["undefined"], none["mean"]) == (3, 0, 20.0)
    # Pairs of replicates 1 and 2 only.
    assert (standard["n_pairs"], standard["difference"]) == (2, (40 - 20 + 60 - 30) / 2)
    assert math.isnan(standard["gap"])
    assert (found["undefined"] > 0).sum() == 1


def test_an_undefined_reference_gives_no_pair(reached: pd.DataFrame, cells: pd.DataFrame) -> None:
    lost = reached.copy()
    lost.loc[(lost["uid"] == "none2") & (lost["split"] == "validation"), "value"] = math.nan
    standard = row(table(lost, cells), "standard")
    assert (standard["n_pairs"], standard["difference"]) == (1, 40 - 20)


def test_an_arm_that_never_reached_it_has_a_row_without_a_mean(reached: pd.DataFrame, cells: pd.DataFrame) -> None:
    lost = reached.copy()
    lost.loc[(lost["regime"] == "standard") & (lost["split"] == "validation"), "value"] = math.nan
    standard = row(table(lost, cells), "standard")
    assert (standard["n"], standard["undefined"], standard["n_pairs"]) == (0, 3, 0)
    assert math.isnan(standard["mean"])
    assert math.isnan(standard["difference"])


def test_no_other_metric_may_be_undefined(reached: pd.DataFrame, cells: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"test\.loss of cell none0 is nan"):
        table(reached.assign(value=reached["value"].where(reached.index != 1)), cells)
    infinite = reached.replace({"value": {60.0: math.inf}})
    with pytest.raises(ValueError, match=r"steps-to-loss-0\.6 of cell standard2 is inf"):
        table(infinite, cells)


def test_the_report_shows_and_says_it(reached: pd.DataFrame, cells: pd.DataFrame) -> None:
    found = table(reached, cells)
    shown = readable("generalization", found).set_index(["regime", "metric"])["undefined"]
    assert shown["standard", "steps-to-loss-0.6"] == "1"
    notes = footnotes("generalization", found, "none", [])
    assert sum("undefined: runs that never reached it" in note for note in notes) == 1
    plain = table(reached[~reached["metric"].str.startswith("steps")], cells)
    assert not any("undefined: runs" in note for note in footnotes("generalization", plain, "none", []))


def test_sizes_of_a_training_set_are_ordered_as_numbers() -> None:
    labels = ["sst2", "sst2-b", "sst2@1000", "sst2@50", "cola", "sst2@100", "a@b"]
    frame = pd.DataFrame({"task": labels})
    assert ordered(frame, ["task"], [])["task"].tolist() == [
        "a@b", "cola", "sst2@50", "sst2@100", "sst2@1000", "sst2", "sst2-b",
    ]  # fmt: skip
