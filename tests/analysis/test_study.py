"""A study is built from whatever tables a store has."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from stored_runs import (
    REGIMES,
    assert_equal,
    cells_table,
    metrics_table,
    predictions_table,
    run_rows,
    text_rows,
    training_table,
)

from harness.analysis.study import Study, study_of


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    runs = run_rows(2, False)
    repeats = [run | {"uid": run["uid"] + "-again", "repeat": 1} for run in runs]
    training = pd.concat([training_table(runs), training_table(repeats)], ignore_index=True)
    return {
        "training": training,
        "cells": cells_table([*runs, *repeats]),
        "generation_metrics": metrics_table([row for run in [*runs, *repeats] for row in text_rows(run, 2, 2)]),
        "predictions": predictions_table(runs, (0, 1), False, np.random.default_rng(3)),
    }


def build(tables: dict[str, pd.DataFrame]) -> Study:
    return study_of(tables, reference="none", regimes=REGIMES, seed=7)


def test_blocks_of_every_unit_are_built_without_repeats(tables: dict[str, pd.DataFrame]) -> None:
    study = build(tables)
    assert (study.reference, study.regimes, study.seed) == ("none", tuple(REGIMES), 7)
    assert {block.unit for block in study.runs} == {"split"}
    assert {block.unit for block in study.examples} == {"example"}
    assert {block.unit for block in study.texts} == {"text", "prompt", "set"}
    for block in (*study.runs, *study.examples, *study.texts):
        assert block.replicates == (0, 1)
        assert not np.isnan(block.values).any()


def test_the_order_of_rows_changes_nothing(tables: dict[str, pd.DataFrame]) -> None:
    one = build(tables)
    two = build({name: table.sample(frac=1, random_state=5) for name, table in tables.items()})
    for kind in ("runs", "examples", "texts"):
        for mine, theirs in zip(getattr(one, kind), getattr(two, kind), strict=True):
            assert_equal(mine, theirs)


@pytest.mark.parametrize("form", ["absent", "empty"])
def test_a_grid_without_texts_has_runs_only(tables: dict[str, pd.DataFrame], form: str) -> None:
    for name in ("generation_metrics", "predictions"):
        tables[name] = tables[name].iloc[:0]
        if form == "absent":
            del tables[name]
    study = build(tables)
    assert (study.texts, study.examples) == ((), ())
    assert len(study.runs) == 8


def test_the_texts_of_a_regime_that_the_grid_does_not_name_are_refused(tables: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(ValueError, match="has regime late, which the grid does not name"):
        study_of(tables, reference="none", regimes=REGIMES[:2])


def test_greedy_texts_with_replicates_are_refused(tables: dict[str, pd.DataFrame]) -> None:
    metrics = tables["generation_metrics"]
    tables["generation_metrics"] = metrics.assign(top_k=metrics["top_k"].replace("5", "1"))
    with pytest.raises(ValueError, match="k = 1 is greedy, but has 2 replicates"):
        build(tables)


def test_examples_of_fewer_runs_than_have_a_score_are_left_out(tables: dict[str, pd.DataFrame]) -> None:
    """Their statistics would be of other runs than the score's, under the score's name."""
    assert build(tables).examples
    uid = tables["predictions"]["uid"].iloc[0]
    tables["predictions"] = tables["predictions"][tables["predictions"]["uid"] != uid]
    model = tables["training"].loc[tables["training"]["uid"] == uid, "model"].iloc[0]
    assert all(block.model != model for block in build(tables).examples)
    assert build(tables).runs
