"""Steps to a loss: read off the stored learning curve, never guessed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import UserError
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.store.curves import steps_to_loss
from harness.store.tables import build_tables
from harness.training.cells import Worker, run_training

# The loss rises again after step 6: the first evaluation at or below a target counts, not the last.
CURVE = pd.DataFrame(
    [
        *((step, "validation.loss", loss) for step, loss in ((2, 0.9), (4, 0.6), (6, 0.4), (8, 0.7))),
        *((step, "train.loss", 0.01) for step in range(8)),
        (2, "validation.random_loss", 0.01),
    ],
    columns=["step", "metric", "value"],
)


@pytest.mark.parametrize(
    ("target", "step"), [(1.0, 2), (0.9, 2), (0.6, 4), (0.59, 6), (0.4, 6), (0.39, math.nan), (0.02, math.nan)]
)
def test_the_first_evaluation_at_or_below_the_target(target: float, step: float) -> None:
    found = steps_to_loss(CURVE, [target])
    assert found[["split", "metric"]].to_numpy().tolist() == [["validation", f"steps-to-loss-{target:g}"]]
    assert found["value"].tolist() == pytest.approx([step], nan_ok=True)


def test_the_order_of_the_rows_does_not_matter() -> None:
    shuffled = CURVE.sample(frac=1, random_state=1)
    assert steps_to_loss(shuffled, [0.9, 0.6, 0.5])["value"].tolist() == [2, 4, 6]


def test_equal_targets_count_once_and_none_gives_nothing() -> None:
    assert steps_to_loss(CURVE, [0.6, 0.6, 1.0])["metric"].tolist() == ["steps-to-loss-0.6", "steps-to-loss-1"]
    assert steps_to_loss(CURVE, []).empty


def test_a_cell_without_evaluations_has_not_failed_to_reach_anything() -> None:
    with pytest.raises(ValueError, match="never evaluated"):
        steps_to_loss(CURVE[CURVE["metric"] == "train.loss"], [0.6])


def test_a_new_target_is_no_new_cell(tiny: Any, home: Path) -> None:
    training = {**tiny()["training"], "evaluate_every": 2}
    store = Store(home / "results")
    grid = tiny(training=training, regimes={"none": {}}, replicates={"training": {"count": 1}})
    cell = expand(parse_grid(grid, "grid"), store, None).training[0]
    assert run_training(Worker(store), cell, lambda *_: None) == "done"
    losses = store.frame(cell.uid, "history").query("metric == 'validation.loss'")["value"].tolist()
    asked = expand(parse_grid({**grid, "training": {**training, "steps_to_loss": [10.0, 0.001]}}, "grid"), store, None)
    assert asked.training[0].uid == cell.uid
    table = build_tables(asked, store)["training"].query("split == 'validation'").set_index("metric")["value"]
    assert len(losses) == 3
    assert table["steps-to-loss-10"] == 2
    assert math.isnan(table["steps-to-loss-0.001"])
    plain = build_tables(expand(parse_grid(grid, "grid"), store, None), store)["training"]
    assert not plain["metric"].str.startswith("steps-to").any()


def test_a_grid_without_evaluations_is_refused(tiny: Any) -> None:
    training = {**tiny()["training"], "select": "last", "steps_to_loss": 0.6}
    with pytest.raises(UserError, match=r"grid: training: steps_to_loss needs evaluations: give evaluate_every"):
        parse_grid(tiny(training=training), "grid")
    assert parse_grid(tiny(training={**training, "evaluate_every": 2}), "grid").training.steps_to_loss == [0.6]
    with pytest.raises(UserError, match=r"by_task\.csv.*steps_to_loss needs evaluations"):
        parse_grid(tiny(training={**training, "steps_to_loss": []}, by_task={"csv": {"steps_to_loss": 0.6}}), "grid")
    with pytest.raises(UserError, match="greater than 0"):
        parse_grid(tiny(training={**training, "steps_to_loss": [0.6, -1]}), "grid")
