"""Blocks: every value of the store's tables lands at its place, whatever is missing and however rows are ordered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored_runs import (
    PROBLEMS,
    REGIMES,
    SETTINGS,
    Row,
    assert_equal,
    cells_table,
    metrics_table,
    predictions_table,
    run_rows,
    text_rows,
    training_table,
    uid_of,
)

from harness.analysis.blocks import Block, example_blocks, runs_by_problem, text_blocks, training_blocks
from harness.analysis.checked import checked_rows
from harness.analysis.order import SPLITS, top_k_rank


def blocks_of(metrics: pd.DataFrame, runs: Sequence[Row]) -> list[Block]:
    cells = cells_table(runs)
    rows = checked_rows(metrics, cells, REGIMES, frozenset())
    return list(text_blocks(rows, runs_by_problem(training_table(runs), cells, REGIMES), REGIMES))


def expected(rows: Sequence[Row], block: Block, merged: bool) -> np.ndarray:
    """The block's values, looked up one by one."""
    mine = [r for r in rows if (r["task"], r["model"], r["metric"]) == (block.task, block.model, block.metric)]
    mine = [row for row in mine if row["top_k"] != "human"]
    prompts, levels = (sorted({row[name] for row in mine}, key=str) for name in ("prompt", "inference_replicate"))
    names = ("training_uid", "top_k", "temperature", "prompt", "inference_replicate")
    known = {tuple(row[name] for name in names): row["value"] for row in mine}
    axes = [block.regimes, [(s[0], s[1]) for s in block.settings], block.replicates, prompts, levels]
    values = np.full([len(axis) for axis in axes], math.nan)
    for place in itertools.product(*(range(len(axis)) for axis in axes)):
        regime, setting, replicate, prompt, level = (axis[i] for axis, i in zip(axes, place, strict=True))
        level = levels[0] if setting[0] == "1" else level
        uid = uid_of(block.model, regime, replicate, merged)
        values[place] = known.get((uid, *setting, prompt, level), math.nan)
    return values


@settings(max_examples=60, deadline=None)
@given(
    replicates=st.integers(1, 4),
    prompts=st.integers(1, 3),
    levels=st.integers(1, 3),
    merged=st.booleans(),
    left_out=st.sampled_from([0.0, 0.2, 0.8]),
    undefined=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_text_value_lands_at_its_place(
    replicates: int, prompts: int, levels: int, merged: bool, left_out: float, undefined: float, seed: int
) -> None:
    dice = np.random.default_rng(seed)
    runs = run_rows(replicates, merged)
    once = {run["uid"]: run for run in runs[::-1]}  # texts stand once per checkpoint, under its first replicate
    rows = [row for run in once.values() for row in text_rows(run, prompts, levels) if dice.random() >= left_out]
    rows = [row | {"value": math.nan} if dice.random() < undefined else row for row in rows]
    if not rows:
        return
    metrics = metrics_table(rows)
    found = blocks_of(metrics, runs)
    there = {(r["model"], r["metric"]) for r in rows if r["top_k"] != "human" and not math.isnan(r["value"])}
    assert {(block.model, block.metric) for block in found} == there
    for block in found:
        assert list(block.regimes) == [name for name in REGIMES if name in block.regimes]
        assert list(block.settings) == sorted(block.settings, key=lambda s: (top_k_rank(s[0]), *s[1:]))
        np.testing.assert_array_equal(block.values, expected(rows, block, merged))
    shuffled = blocks_of(metrics.iloc[dice.permutation(len(metrics))].reset_index(drop=True), runs)
    for one, two in zip(found, shuffled, strict=True):
        assert_equal(one, two)


def test_greedy_texts_stand_at_every_level_and_human_ones_nowhere() -> None:
    runs = run_rows(2, False)
    block = next(b for b in blocks_of(metrics_table([r for run in runs for r in text_rows(run, 2, 3)]), runs))
    assert (block.metric, block.unit) == ("distinct-2", "text")
    assert block.values.shape == (3, 4, 2, 2, 3)
    assert block.settings == (("1", 1.0, 1.0, 0.0), *((k, t, 1.0, 0.0) for k, t in SETTINGS[1:]))
    assert np.ptp(block.values[:, 0], axis=-1).max() == 0.0
    assert np.ptp(block.values[:, 1:], axis=-1).min() > 0.0


def test_replicates_that_are_one_cell_hold_the_same_values_and_say_so() -> None:
    runs = run_rows(2, True)
    once = {run["uid"]: run for run in runs[::-1]}
    block = blocks_of(metrics_table([r for run in once.values() for r in text_rows(run, 2, 2)]), runs)[0]
    assert block.cells[0] == ("bert-none-0", "bert-none-0")
    np.testing.assert_array_equal(block.values[0, :, 0], block.values[0, :, 1])
    assert block.cells[1] == ("bert-standard-0", "bert-standard-1")
    assert (block.values[1, :, 0] != block.values[1, :, 1]).all()


def test_a_grid_of_merged_runs_alone_keeps_all_its_replicates() -> None:
    runs = [run for run in run_rows(2, True) if run["regime"] == "none"]
    block = blocks_of(metrics_table(text_rows(runs[0], 2, 2)), runs)[0]
    assert block.replicates == (0, 1)
    np.testing.assert_array_equal(block.values[0, :, 0], block.values[0, :, 1])


def test_a_value_that_is_there_twice_is_refused() -> None:
    runs = run_rows(1, False)
    rows = [row for run in runs for row in text_rows(run, 2, 2)]
    with pytest.raises(ValueError, match=r"distinct-2 of bert-none-0 twice"):
        blocks_of(metrics_table([*rows, rows[0] | {"value": 7.0}]), runs)


def test_texts_of_a_run_that_was_not_trained_are_refused() -> None:
    runs = run_rows(2, False)
    rows = [row for run in runs for row in text_rows(run, 1, 1)]
    cells = cells_table(runs)
    known = runs_by_problem(
        training_table([r for r in runs if r["training_replicate"] == 0]),
        cells[cells["training_replicate"] == 0],
        REGIMES,
    )
    with pytest.raises(ValueError, match="none, training replicate 1: has texts, but no row"):
        list(text_blocks(checked_rows(metrics_table(rows), cells, REGIMES, frozenset()), known, REGIMES))


@settings(max_examples=30, deadline=None)
@given(replicates=st.integers(1, 4), merged=st.booleans(), lost=st.sets(st.integers(0, 7)), seed=st.integers(0, 2**31))
def test_every_run_s_value_lands_at_its_place(replicates: int, merged: bool, lost: set[int], seed: int) -> None:
    runs = run_rows(replicates, merged)
    gone = {runs[number % len(runs)]["uid"] for number in lost}
    training = training_table([run for run in runs if run["uid"] not in gone])
    cells = cells_table(runs).assign(status=lambda c: ["error" if uid in gone else "done" for uid in c["uid"]])
    if training.empty:
        return
    known = training.set_index(["uid", "split", "metric"])["value"].groupby(level=[0, 1, 2]).first()
    shuffled = training.sample(frac=1, random_state=seed)
    found, again = (list(training_blocks(table, cells, REGIMES)) for table in (training, shuffled))
    assert len(found) == 4 * training["model"].nunique()
    for block, other in zip(found, again, strict=True):
        assert_equal(block, other)
        for (row, regime), (column, replicate) in itertools.product(
            enumerate(block.regimes), enumerate(block.replicates)
        ):
            uid = uid_of(block.model, regime, replicate, merged)
            assert block.cells[row][column] == ("" if uid in gone else uid)
            assert (block.roles[row][column] is None) == (uid in gone)
            value = known.get((uid, block.split, block.metric), math.nan)
            np.testing.assert_array_equal(block.values[row, 0, column], [[value]])


def test_repeats_are_in_no_block() -> None:
    runs = run_rows(1, False)
    repeats = [run | {"uid": run["uid"] + "-again", "repeat": 1} for run in runs]
    training = pd.concat([training_table(runs), training_table(repeats)], ignore_index=True)
    for block in training_blocks(training, cells_table([*runs, *repeats]), REGIMES):
        assert block.replicates == (0,)
        assert not any(uid.endswith("again") for row in block.cells for uid in row)


@settings(max_examples=30, deadline=None)
@given(replicates=st.integers(1, 3), merged=st.booleans(), language=st.booleans(), seed=st.integers(0, 2**31))
def test_the_mean_over_examples_is_the_split_s_metric(replicates: int, merged: bool, language: bool, seed: int) -> None:
    dice = np.random.default_rng(seed)
    runs = run_rows(replicates, merged)
    predictions = predictions_table(runs, (2, 5, 7), language, dice)
    table = training_table(runs), cells_table(runs)
    found = list(example_blocks(table[0], predictions, table[1], REGIMES))
    metrics = ["loss"] if language else ["loss", "accuracy"]
    assert [(b.split, b.metric) for b in found] == [*itertools.product(SPLITS[::2], metrics)] * len(PROBLEMS)
    for block in found:
        for row, column in itertools.product(range(len(REGIMES)), range(replicates)):
            mine = predictions[(predictions["uid"] == block.cells[row][column]) & (predictions["split"] == block.split)]
            whole = (mine["label"] == mine["prediction"]).mean()
            if block.metric == "loss":
                whole = np.average(mine["loss"], weights=mine["targets"] if language else None)
            assert block.values[row, 0, column].mean() == pytest.approx(whole, rel=1e-12)
    shuffled = predictions.sample(frac=1, random_state=seed)
    for one, two in zip(found, example_blocks(table[0], shuffled, table[1], REGIMES), strict=True):
        assert_equal(one, two)


def test_a_split_whose_rows_differ_between_runs_is_left_out() -> None:
    runs = [run for run in run_rows(2, False) if run["model"] == "bert"]
    predictions = predictions_table(runs, (0, 1, 2), False, np.random.default_rng(1))
    other = (predictions["uid"] == runs[1]["uid"]) & (predictions["split"] == "train") & (predictions["example"] == 2)
    predictions.loc[other, "example"] = 3
    found = example_blocks(training_table(runs), predictions, cells_table(runs), REGIMES)
    assert {block.split for block in found} == {"test"}


def test_a_prediction_that_is_there_twice_is_refused() -> None:
    runs = run_rows(1, False)
    predictions = predictions_table(runs, (0, 1), False, np.random.default_rng(1))
    with pytest.raises(ValueError, match="'predictions' has a row of cell bert-late-0 twice"):
        list(example_blocks(training_table(runs), pd.concat([predictions] * 2), cells_table(runs), REGIMES))
