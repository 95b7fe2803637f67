"""Memorised label noise: the wrong label itself must be predicted, and only of examples that have one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.data.task import TaskData, load_task
from harness.errors import CellError, UserError
from harness.evaluation.noise import memorised_noise, with_clean_labels
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, start_model
from harness.training.final import evaluate_splits

ROWS = pd.DataFrame({"text": list("abcdef"), "label": [0, 1, 2, 1, 0, 0], "clean_label": [0, 0, 1, 1, 2, 1]})


def predictions(*guesses: int) -> pd.DataFrame:
    return pd.DataFrame({"example": range(6), "label": ROWS["label"], "prediction": guesses})


def test_only_the_wrong_label_counts_as_memorised() -> None:
    # Wrong are rows 1, 2, 4, 5; row 1 is memorised, 2 is right after all, 4 is another mistake, 5 is memorised.
    found = with_clean_labels(predictions(0, 1, 1, 0, 1, 0), ROWS)
    assert memorised_noise(found) == {"memorised-noise": 0.5}
    assert memorised_noise(with_clean_labels(predictions(*ROWS["clean_label"]), ROWS)) == {"memorised-noise": 0.0}
    assert memorised_noise(with_clean_labels(predictions(*ROWS["label"]), ROWS)) == {"memorised-noise": 1.0}


def test_a_subset_is_matched_by_its_positions() -> None:
    some = predictions(0, 1, 1, 0, 1, 0).iloc[[1, 3, 4]].reset_index(drop=True)
    found = with_clean_labels(some, ROWS)
    assert found["clean_label"].tolist() == [0, 1, 2]
    assert memorised_noise(found) == {"memorised-noise": 0.5}


def test_nothing_where_no_label_is_wrong_or_the_task_does_not_know() -> None:
    clean = ROWS.assign(clean_label=ROWS["label"])
    nothing = memorised_noise(with_clean_labels(predictions(0, 0, 0, 0, 0, 0), clean))
    assert list(nothing) == ["memorised-noise"]
    assert math.isnan(nothing["memorised-noise"])
    assert memorised_noise(with_clean_labels(predictions(0, 0, 0, 0, 0, 0), ROWS[["text", "label"]])) == {}


def test_rows_in_another_order_are_refused() -> None:
    with pytest.raises(CellError, match="labels differ"):
        with_clean_labels(predictions(0, 0, 0, 0, 0, 0), ROWS[::-1].reset_index(drop=True))


def test_clean_labels_are_checked_like_labels() -> None:
    splits = {split: ROWS.assign(label=0) for split in ("train", "validation", "test")}
    with pytest.raises(UserError, match=r"split 'train' has a clean_label outside 0\.\.1"):
        TaskData("classification", splits, labels=("a", "b")).validate("mine")


@pytest.mark.usefixtures("one_thread")
def test_of_a_whole_cell_it_equals_a_count_on_the_tasks_own_rows(tiny: Any, home: Path) -> None:
    options = {"train": 60, "validation": 20, "test": 20, "shift": 20, "label_noise": 0.3}
    grid = tiny(tasks=[{"toy-sentiment": options}])
    store = Store(home / "results")
    cell = expand(parse_grid(grid, "grid"), store, None).training[0]
    inputs = Worker(store).inputs(cell.problem)
    model = start_model(store, cell, inputs)
    drawn = np.arange(0, 60, 2, dtype=np.int64)
    metrics, found = evaluate_splits(model, cell, inputs, drawn)
    values = metrics.set_index(["split", "metric"])["value"]
    train = load_task("toy-sentiment", options, None).splits["train"].iloc[drawn].reset_index(drop=True)
    guesses = found[found["split"] == "train"].set_index("example").loc[drawn, "prediction"].reset_index(drop=True)
    wrong = train["label"] != train["clean_label"]
    assert 3 < wrong.sum() < 20
    assert values["train", "memorised-noise"] == pytest.approx((guesses == train["label"])[wrong].mean())
    assert [split for split, metric in values.index if metric == "memorised-noise"] == ["train"]
    assert found["clean_label"].notna().all()
    for split in ("train", "validation", "test", "shift"):
        assert {"loss", "accuracy", "brier", "ece"} <= set(values[split].index)
