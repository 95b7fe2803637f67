"""The table `randomness`: numbers of simulated studies, what is zero by construction, and what is unknown."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from simulator import Floats, block_of, drawn, shape_of, study_of_blocks
from toolbox import SHARED, needs_shared

from harness.analysis import known
from harness.analysis.blocks import Block
from harness.analysis.intervals import t_interval
from harness.analysis.order import ordered
from harness.analysis.randomness import COLUMNS, randomness

TEXT = {"training": 0.3, "prompt": 0.3, "training x prompt": 0.2}
TEXT |= {"decode x prompt": 0.3, "training x decode x prompt": 0.4}
HEADS = ["training", "prompt", "training x prompt", "inference", "total"]


def texts(seed: int = 1, *, runs: int = 3, prompts: int = 12, decode: int = 4, **fields: Any) -> Block:
    shape = shape_of(training=runs, prompts=prompts, decode=decode)
    return block_of(drawn(shape, TEXT, np.random.default_rng(seed))[0], **fields)


def rows_of(block: Block, *others: Block, **tables: pd.DataFrame) -> pd.DataFrame:
    return randomness(study_of_blocks([block, *others], tables)).set_index("component")


def estimates_only(found: pd.DataFrame, component: str) -> list[bool]:
    row = found.loc[component]
    return [math.isnan(row[column]) for column in ("variance", "ci_low", "share", "score_variance", "score_share")]


def test_heads_of_texts_in_both_units() -> None:
    found = rows_of(texts())
    assert list(found.index) == [*HEADS, "decode x prompt", "training x decode x prompt"]
    assert list(found.reset_index().columns.sort_values()) == sorted(COLUMNS)
    assert found["head"].tolist() == [True] * 5 + [False] * 2
    heads = found.loc[HEADS[:4]]
    assert heads["variance"].sum() == pytest.approx(found.loc["total", "variance"])
    assert heads["share"].sum() == pytest.approx(1.0)
    assert heads["score_share"].sum() == pytest.approx(1.0)
    assert heads["score_variance"].tolist() == pytest.approx((heads["variance"] / [1, 12, 12, 12]).tolist())
    assert found.loc["inference", "variance"] == pytest.approx(found["variance"].iloc[-2:].sum())
    assert (found["ci_low"] < found["ci_high"]).all()
    assert set(found["method"]) == {"moments"}
    assert (found["n_training"].iloc[0], found["n_prompts"].iloc[0], found["n_inference"].iloc[0]) == (3, 12, 4)


def test_truncated_is_the_estimate_cut_at_zero() -> None:
    shape = shape_of(training=3, prompts=12, decode=4)
    values = drawn(shape, {"training x decode x prompt": 1.0}, np.random.default_rng(3))[0]
    found = rows_of(block_of(values))
    assert found["variance"].min() < 0.0
    assert found["truncated"].tolist() == [max(0.0, value) for value in found["variance"]]


def test_greedy_texts_have_no_inference_die() -> None:
    block = texts(settings=(("1", 1.0, 1.0, 0.0),))
    block.values[...] = block.values[..., :1]
    found = rows_of(block)
    assert list(found.index) == HEADS
    row = found.loc["inference"]
    assert (row["variance"], row["score_variance"], row["share"]) == (0.0, 0.0, 0.0)
    assert row["note"] == known.GREEDY_ZERO
    assert math.isnan(row["ci_low"])
    assert found.loc["training x prompt", "variance"] > 0.0


def test_one_training_replicate_is_unknown_never_zero() -> None:
    found = rows_of(texts(runs=1))
    for component in ("training", "training x prompt", "prompt", "total"):
        assert all(estimates_only(found, component))
        assert found.loc[component, "note"] == known.ONE_RUN
    values = texts(runs=1).values[0, 0, 0]
    assert found.loc["inference", "variance"] == pytest.approx(values.var(axis=1, ddof=1).mean())


def test_one_inference_replicate_hides_the_inference_die() -> None:
    found = rows_of(texts(decode=1))
    assert found.loc["inference", "note"] == known.ONE_REPLICATE
    assert all(estimates_only(found, "inference") + estimates_only(found, "prompt"))
    assert not math.isnan(found.loc["training", "variance"])
    assert not math.isnan(found.loc["total", "variance"])


def test_one_prompt() -> None:
    found = rows_of(texts(prompts=1))
    assert found.loc["prompt", "note"] == known.ONE_PROMPT
    assert not math.isnan(found.loc["inference", "variance"])


def test_replicates_that_are_one_cell_count_once() -> None:
    shape = shape_of(training={"init": 3, "mask": 2}, prompts=8, decode=3)
    values = drawn(shape, {"init": 1.0, "decode x prompt": 1.0}, np.random.default_rng(4))[0]
    cells = (("a", "a", "b", "b", "c", "c"),)
    found = rows_of(block_of(values, ("init", "mask"), cells=cells))
    alone = rows_of(block_of(values[:, :, :, 0], cells=(("a", "b", "c"),)))
    assert found.loc["training", "n_training"] == 3
    assert found["variance"].tolist() == alone["variance"].tolist()
    assert found.loc["training", "design"] == "crossed init 3"


def test_a_study_of_masks_without_dropout_has_no_training_die() -> None:
    block = texts(runs=3, cells=(("a", "a", "a"),))
    block.values[:] = block.values[:, :, :1]
    found = rows_of(block)
    assert (found.loc["training", "variance"], found.loc["training", "note"]) == (0.0, known.MERGED)
    assert not math.isnan(found.loc["total", "variance"])


def test_equal_values_are_zero_without_interval() -> None:
    block = texts()
    block.values[:] = 0.7
    found = rows_of(block)
    assert (found["variance"] == 0.0).all()
    assert found[["ci_low", "ci_high", "share", "share_low", "score_low"]].isna().all().all()
    assert set(found["note"]) == {known.EQUAL}


def test_isolated_runs_tell_the_inference_die_only() -> None:
    levels = (((0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 1, 0)),)
    found = rows_of(replace(texts(), design="isolated", roles=levels))
    assert found.loc["training", "note"] == known.ISOLATED
    assert all(estimates_only(found, "training") + estimates_only(found, "total"))
    assert not math.isnan(found.loc["inference", "variance"])
    assert math.isnan(found.loc["inference", "share"])


def crossed_block(values: Floats, **fields: Any) -> Block:
    return block_of(values, ("init", "order"), **fields)


def test_crossed_texts() -> None:
    shape = shape_of(training={"init": 3, "order": 4}, prompts=10, decode=3)
    variances = {"init": 0.5, "init x order": 0.2, "prompt": 0.3, "init x prompt": 0.2, "decode x prompt": 1.0}
    block = crossed_block(drawn(shape, variances, np.random.default_rng(5))[0])
    found = rows_of(block)
    assert found.loc["training", "design"] == "crossed init 3 x order 4"
    assert found["variance"].notna().all()
    block.values[0, 0, 3] = math.nan
    lost = rows_of(block)
    assert lost.loc["training", "note"] == f"{known.INCOMPLETE}; 1 runs have no value of this metric"
    assert not math.isnan(lost.loc["inference", "variance"])


def test_crossed_runs_of_one_value_without_one_run() -> None:
    shape = shape_of(training={"init": 4, "order": 4})
    values = drawn(shape, {"init": 1.0, "order": 0.5, "init x order": 0.5}, np.random.default_rng(6))[0]
    block = crossed_block(values, unit="split", metric="accuracy")
    whole = rows_of(block).loc["training"]
    block.values[0, 0, 5] = math.nan
    part = rows_of(block).loc["training"]
    assert (whole["method"], part["method"]) == ("moments", "REML")
    assert part["score_variance"] == pytest.approx(whole["score_variance"], rel=0.5)
    assert math.isnan(part["score_low"])
    assert part["note"].startswith(known.BY_REML)


def test_some_undefined_texts_make_it_unweighted_means() -> None:
    block = texts(prompts=16)
    block.values[0, 0, 0, :4, 1] = math.nan
    block.values[0, 0, 1, 5, :] = math.nan
    found = rows_of(block)
    assert set(found["method"]) == {"unweighted means"}
    assert found.loc["total", "n_prompts"] == 15
    assert found.loc["total", "note"] == "1 of 16 prompts left out: not defined in every run"
    whole = rows_of(texts(prompts=16))
    assert found.loc["inference", "variance"] == pytest.approx(whole.loc["inference", "variance"], rel=0.15)


def test_mostly_undefined_texts_give_no_estimate() -> None:
    block = texts()
    block.values[0, 0, 0, :7] = math.nan
    found = rows_of(block)
    assert found["variance"].isna().all()
    assert found["note"].str.startswith(known.FEW).all()
    block.values[0, 0, 0] = math.nan
    block.values[0, 0, 0, 0, 0] = 1.0
    block.values[0, 0, 1, 0] = math.nan
    assert rows_of(block)["variance"].isna().all()


def test_texts_with_one_defined_replicate_each() -> None:
    block = texts()
    block.values[..., :6, 1:] = math.nan
    block.values[..., 6:, :3] = math.nan
    assert rows_of(block).loc["inference", "note"] == known.ONE_REPLICATE


def test_set_metrics_have_no_prompt() -> None:
    shape = shape_of(training=4, decode=5)
    values = drawn(shape, {"training": 0.5, "decode": 0.2, "training x decode": 0.6}, np.random.default_rng(7))[0]
    found = rows_of(block_of(values, unit="set"))
    assert list(found.index) == ["training", "inference", "total", "decode", "training x decode"]
    assert found["variance"].tolist() == found["score_variance"].tolist()
    table = values[0, 0, :, 0]
    residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    error = np.square(residual).sum() / 12
    assert found.loc["training", "variance"] == pytest.approx((5 * table.mean(axis=1).var(ddof=1) - error) / 5)
    assert math.isnan(found.loc["training", "n_prompts"])


def test_metrics_over_replicates_take_the_jackknife_out() -> None:
    shape = shape_of(training=4, prompts=30)
    dice = np.random.default_rng(8)
    values = drawn(shape, {"training": 0.5, "prompt": 0.4, "training x prompt": 0.7}, dice)[0]
    errors = np.full_like(values, 0.5)
    metric = "replicate-distinctness"
    blocks = [
        block_of(array, unit="prompt", metric=name) for array, name in ((values, metric), (errors, f"{metric}-error"))
    ]
    found = rows_of(*blocks)
    assert set(found["metric"]) == {metric}
    plain = rows_of(block_of(values, unit="example")).loc["training x prompt", "variance"]
    assert found.loc["inference", "variance"] == pytest.approx(0.25)
    assert found.loc["training x prompt", "variance"] == pytest.approx(plain - 0.25)
    assert found.loc[HEADS[:4], "share"].sum() == pytest.approx(1.0)
    assert math.isnan(found.loc["training x prompt", "ci_low"])
    for alone in (
        rows_of(blocks[0]),
        rows_of(blocks[0], block_of(errors * math.nan, unit="prompt", metric=f"{metric}-error")),
    ):
        assert alone.loc["inference", "note"] == known.NO_ERROR
        assert all(estimates_only(alone, "prompt"))
        assert alone.loc["training", "variance"] == pytest.approx(found.loc["training", "variance"])


@pytest.mark.filterwarnings("error")
def test_one_prompt_of_a_metric_over_replicates_warns_of_nothing() -> None:
    values = drawn(shape_of(training=4, prompts=1), {"training": 0.5}, np.random.default_rng(8))[0]
    errors = block_of(np.full_like(values, 0.5), unit="prompt", metric="replicate-distinctness-error")
    found = rows_of(block_of(values, unit="prompt", metric="replicate-distinctness"), errors)
    assert found.loc["inference", "variance"] == pytest.approx(0.25)


def test_examples_have_no_inference_die_and_replace_their_split() -> None:
    shape = shape_of(training=4, prompts=50)
    values = drawn(shape, {"training": 0.1, "prompt": 1.0, "training x prompt": 0.3}, np.random.default_rng(9))[0]
    score = block_of(values.mean(axis=3, keepdims=True), unit="split", metric="loss")
    other = block_of(values.mean(axis=3, keepdims=True), unit="split", metric="mcc")
    found = randomness(study_of_blocks([block_of(values, unit="example", metric="loss"), score, other]))
    loss, mcc = (found[found["metric"] == name].set_index("component") for name in ("loss", "mcc"))
    assert set(loss["unit"]) == {"example"}
    assert (loss.loc["inference", "variance"], loss.loc["inference", "note"]) == (0.0, known.EVALUATION)
    assert loss.loc["prompt", "note"] == known.BY_EXAMPLE
    assert list(mcc.index) == ["training"]
    assert math.isnan(mcc.loc["training", "variance"])
    # The variance of the score holds training x prompt / examples beside the training die.
    held = loss.loc["training", "score_variance"] + loss.loc["training x prompt", "score_variance"]
    assert mcc.loc["training", "score_variance"] == pytest.approx(held)


def repeats(value: float, differing: int) -> dict[str, pd.DataFrame]:
    named = {"task": "task", "model": "model", "regime": "none", "split": "test", "metric": "loss"}
    runs = [("a", 0, 0.5), ("b", 1, value), ("c", 2, 0.5)]
    training = [{**named, "uid": uid, "training_replicate": 0, "repeat": repeat, "value": v} for uid, repeat, v in runs]
    text = [{**named, "repeat": 1, "texts": 40, "differing": differing}]
    done = pd.DataFrame({"uid": ["a", "b", "c"], "status": "done"})
    return {"training": pd.DataFrame(training), "cells": done, "repeated_texts": pd.DataFrame(text)}


def test_the_noise_floor_is_half_the_mean_squared_difference_of_repeats() -> None:
    loss = block_of(
        drawn(shape_of(training=3), {"training": 1.0}, np.random.default_rng(1))[0], unit="split", metric="loss"
    )
    found = rows_of(texts(), loss, **repeats(0.7, 0))
    measured = found[found["metric"] == "loss"].loc["noise floor"]
    assert measured["score_variance"] == pytest.approx((0.2**2 + 0.0) / 2 / 2)
    text = found[found["metric"] == "metric"].loc["noise floor"]
    assert (text["variance"], text["score_variance"]) == (0.0, 0.0)
    assert text["note"] == "0 of 40 repeated texts differ"
    differing = rows_of(texts(), **repeats(0.5, 3)).loc["noise floor"]
    assert math.isnan(differing["variance"])
    assert differing["note"].startswith("3 of 40")
    assert "noise floor" not in rows_of(texts()).index


def test_the_table_is_ordered_and_the_same_twice() -> None:
    settings = (("5", 1.0, 1.0, 0.0), ("all", 1.0, 1.0, 0.0), ("10", 0.7, 1.0, 0.0))
    values = drawn(shape_of(training=3, prompts=5, decode=3, regimes=2, settings=3), TEXT, np.random.default_rng(3))[0]
    study = study_of_blocks([block_of(values, settings=settings)])
    found = randomness(study)
    by = ["task", "model", "regime", "split", "metric", "unit", "top_k", "temperature", "top_p", "min_p"]
    pd.testing.assert_frame_equal(found, ordered(found, by, study.regimes))
    pd.testing.assert_frame_equal(found, randomness(study), check_exact=True)
    assert len(found) == 2 * 3 * 7


@needs_shared
def test_a_hundred_published_fine_tunings() -> None:
    """McCoy et al. 2020 (1911.02969): MNLI accuracy sd .0024, HANS lexical overlap, not entailed, sd .1236."""
    path = SHARED / "data" / "hans_bert_runs" / "berts_of_a_feather_accuracies_by_run.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not beside this checkout")
    runs = pd.read_csv(path, encoding="utf-8-sig").iloc[:100]
    for column, mean, sd in (("MNLI dev acc.", 0.8434, 0.0024), ("Lexical (nonent)", 0.2766, 0.1236)):
        values = runs[column].astype(float).to_numpy()
        plain = t_interval(values)
        found = rows_of(block_of(values.reshape(1, 1, 100, 1, 1), unit="split", metric="accuracy")).loc["training"]
        assert (round(plain.mean, 4), round(plain.sd, 4)) == (mean, sd)
        assert round(math.sqrt(found["score_variance"]), 4) == sd
        assert found["score_low"] < sd**2 < found["score_high"]
