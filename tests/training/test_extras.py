"""Whole cells with diagnostics and MC dropout: rows, tables and identity; and nothing of either where they are off."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toolbox import LANGUAGE

from harness.errors import UserError
from harness.reporting.grid_notes import grid_notes
from harness.spec.cells import TrainingCell
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.store.tables import build_tables
from harness.training.cells import Worker, run_training

pytestmark = pytest.mark.usefixtures("one_thread")
ON = {"diagnostics": True, "mc_passes": 2, "mc_examples": 5}
REGIMES = {"none": {}, "linear": {"all": {"linear": {"start": 0.4, "end": 0.0}}}}


def grid_of(tiny: Any, **training: Any) -> dict[str, Any]:
    settings = {**tiny()["training"], **training}
    options = {"train": 40, "validation": 20, "test": 12, "shift": 12, "label_noise": 0.3}
    replicates = {"training": {"count": 1}, "repeats": 0}
    return dict(tiny(tasks=[{"toy-sentiment": options}], training=settings, regimes=REGIMES, replicates=replicates))


def expanded(grid: dict[str, Any], home: Path) -> tuple[Expansion, Store]:
    store = Store(home / "results")
    return expand(parse_grid(grid, "grid"), store, None), store


def run(grid: dict[str, Any], home: Path) -> dict[str, pd.DataFrame]:
    expansion, store = expanded(grid, home)
    for cell in expansion.training:
        assert run_training(Worker(store), cell, lambda *_: None) == "done"
    return build_tables(expansion, store)


def test_rows_and_tables_of_a_cell_with_both(tiny: Any, home: Path) -> None:
    tables = run(grid_of(tiny, **ON), home)
    rows = tables["training"]
    mc = rows[rows["metric"].str.startswith("mc-")]
    # A schedule that ends at 0 still has its mean rate; a regime without dropout has no rows.
    assert set(mc["regime"]) == {"linear"}
    assert mc.groupby("split")["metric"].nunique().to_dict() == {"test": 6, "shift": 6}
    found = tables["diagnostics"]
    assert list(found.columns) == ["uid", "layer", "head", "metric", "value"]
    assert found.groupby(["uid", "metric"]).size().tolist() == [2] * 4  # one layer, two heads, two cells
    means = found.groupby(["uid", "metric"])["value"].mean()
    for uid, metric, value in means.reset_index().itertuples(index=False):
        row = rows[(rows["uid"] == uid) & (rows["metric"] == metric)]
        assert row["split"].tolist() == ["validation"]
        assert row["value"].item() == value
    assert (means > 0).all()
    assert rows["value"].dtype == float
    assert rows["value"].map(math.isfinite).all()


def test_mc_rates_are_of_the_steps_that_made_the_weights(tiny: Any, home: Path) -> None:
    """Late dropout begins at step 3 of 6; the weights of step 2 never saw it, so there is nothing to keep on."""
    grid = grid_of(tiny, mc_passes=2, mc_examples=5, steps=6, epochs=None, evaluate_every=1, learning_rate=[1e-30])
    grid["regimes"] = {"late": {"all": {"late": {"rate": 0.4, "after": 0.5}}}}
    rows = run(grid, home)["training"]
    # With a learning rate of nothing the first of equal validations is selected.
    assert not rows["metric"].str.startswith("mc-").any()
    grid["training"]["select"] = "last"
    rows = run(grid, home)["training"]
    assert rows["metric"].str.startswith("mc-").any()


def test_off_is_the_default_and_changes_no_number(tiny: Any, home: Path, tmp_path: Path) -> None:
    without = run(grid_of(tiny), home)
    assert without["diagnostics"].empty
    assert without["training"]["value"].dtype == float
    assert not without["training"]["metric"].str.contains("^mc-|attention|diversity").any()
    both = run(grid_of(tiny, **ON), home)["training"]
    keys = ["regime", "split", "metric"]
    merged = without["training"].merge(both, on=keys, validate="one_to_one")
    assert len(merged) == len(without["training"])
    assert (merged["value_x"] == merged["value_y"]).all()


def identity(tiny: Any, home: Path, **training: Any) -> TrainingCell:
    return expanded(grid_of(tiny, **training), home)[0].training[0]


def test_they_are_in_the_identity_only_where_they_are_on(tiny: Any, home: Path) -> None:
    plain = identity(tiny, home)
    assert not {"diagnostics", "mc_passes", "mc_examples"} & set(plain.identity["training"])
    assert identity(tiny, home, mc_examples=5).uid == plain.uid  # without passes it decides nothing
    uids = [identity(tiny, home, **changes).uid for changes in (
        {"diagnostics": True}, {"mc_passes": 2}, {"mc_passes": 3}, {"mc_passes": 2, "mc_examples": 5},
    )]  # fmt: skip
    assert len({plain.uid, *uids}) == 5
    assert identity(tiny, home, mc_passes=2, mc_examples=200).uid == uids[1]


def test_selection_by_every_metric_that_is_computed(tiny: Any, home: Path) -> None:
    tables = run(grid_of(tiny, select="validation.brier", evaluate_every=2), home)
    history = tables["history"]
    assert {"validation.brier", "validation.ece"} <= set(history["metric"])
    final = tables["training"].query("split == 'validation' and metric == 'brier'").set_index("uid")["value"]
    best = history[history["metric"] == "validation.brier"].groupby("uid")["value"].min()
    pd.testing.assert_series_equal(final.sort_index(), best.sort_index(), check_names=False)


@pytest.mark.parametrize("metric", ["perplexity", "bits-per-character"])
def test_a_language_model_is_selected_by_its_own_metrics(tiny: Any, home: Path, metric: str) -> None:
    settings = {**LANGUAGE["training"], "select": f"validation.{metric}", "evaluate_every": 2}
    expansion, store = expanded(tiny(**{**LANGUAGE, "training": settings, "decoding": None}), home)
    cell = expansion.training[0]
    assert run_training(Worker(store), cell, lambda *_: None) == "done"
    record = store.record(cell.uid)
    assert record is not None
    history = store.frame(cell.uid, "history")
    assert record.summary["selection_score"] == -history[history["metric"] == f"validation.{metric}"]["value"].min()


def test_a_metric_that_the_kind_of_task_does_not_have_is_refused(tiny: Any, home: Path) -> None:
    settings = {**LANGUAGE["training"], "select": "validation.brier"}
    with pytest.raises(UserError, match=r"no metric 'brier'.*allowed: loss, bits-per-character, perplexity"):
        expanded(tiny(**{**LANGUAGE, "training": settings}), home)


def test_weights_that_never_saw_their_dropout_are_told(tiny: Any, home: Path) -> None:
    grid = grid_of(tiny, steps=6, epochs=None, evaluate_every=1, learning_rate=[1e-30])
    grid["regimes"] = {"none": {}, "late": {"all": {"late": {"rate": 0.4, "after": 0.5}}}}
    run(grid, home)
    expansion, store = expanded(grid, home)
    assert grid_notes(expansion, store)[1:] == [
        "late: in 1 runs the selected weights were made before its dropout began"
    ]
    grid["training"]["select"] = "last"
    run(grid, home)
    expansion, store = expanded(grid, home)
    assert grid_notes(expansion, store)[1:] == []  # the first is the task's own
