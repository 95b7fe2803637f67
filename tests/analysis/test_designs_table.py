"""Crossed and isolated designs in the table `generalization`, and in `generation`."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from harness.analysis.designs import design_of, estimate
from harness.analysis.factorial import ROLES, Factorial, crossed_interval
from harness.analysis.generalization import generalization
from harness.analysis.generation import generation
from harness.analysis.intervals import t_interval

REGIMES = ["none", "standard"]


@pytest.fixture
def study(make_training_row, make_cell_row):
    """A study of init x order x mask runs in two regimes; without dropout the masks of a run are one cell."""

    def build(design="crossed", shape=(3, 3, 2), seed=0):
        rng = np.random.default_rng(seed)
        values = {"none": rng.normal(size=shape[:2]) + 0.8, "standard": rng.normal(size=shape) + 0.5}
        rows, cells = [], []
        for regime in REGIMES:
            for replicate, (init, order, mask) in enumerate(itertools.product(*map(range, shape))):
                merged = regime == "none"
                uid = f"{regime}-{init}{order}" + ("" if merged else str(mask))
                value = values[regime][(init, order) if merged else (init, order, mask)]
                levels = {"init": init, "sample": 0, "order": order, "mask": mask, "design": design}
                for split, shift in (("train", 0.3), ("test", 0.0)):
                    row = make_training_row(uid, regime, replicate, split, "loss", value - shift * (1 + init))
                    rows.append({**row, **levels})
                cells.append(make_cell_row(uid, regime, replicate))
        return pd.DataFrame(rows), pd.DataFrame(cells), values

    return build


def table(training, cells):
    return generalization(training, cells, reference="none", regimes=REGIMES)


def row(found, regime, split="test"):
    return found[(found["regime"] == regime) & (found["split"] == split)].iloc[0]


def bounds(values):
    found = crossed_interval(Factorial(("a", "b", "c")[: values.ndim], values))
    return pytest.approx((found.mean, found.low, found.high))


def test_a_crossed_arm_has_the_interval_of_its_table(study):
    training, cells, values = study()
    found = row(table(training, cells), "standard")
    assert (found["n"], found["design"], found["note"]) == (18, "crossed init 3 x order 3 x mask 2", "")
    assert (found["mean"], found["ci_low"], found["ci_high"]) == bounds(values["standard"])
    naive = t_interval(values["standard"].ravel())
    assert found["ci_low"] < naive.low
    # The gap depends on init alone: 0.3, 0.6, 0.9.
    gap = np.broadcast_to(np.array([0.3, 0.6, 0.9])[:, None, None], (3, 3, 2))
    assert (found["gap"], found["gap_low"], found["gap_high"]) == bounds(gap)


def test_merged_masks_are_no_factor_and_no_evidence(study):
    training, cells, values = study()
    found = row(table(training, cells), "none")
    assert (found["n"], found["design"]) == (9, "crossed init 3 x order 3")
    assert (found["mean"], found["ci_low"], found["ci_high"]) == bounds(values["none"])


def test_differences_are_paired_by_levels_over_the_whole_table(study):
    training, cells, values = study()
    found = row(table(training.sample(frac=1, random_state=1), cells), "standard")
    assert found["n_pairs"] == 18
    changes = values["standard"] - values["none"][:, :, None]
    assert (found["difference"], found["difference_low"], found["difference_high"]) == bounds(changes)


def test_two_arms_without_dropout_have_one_pair_for_each_pair_of_cells(study):
    training, cells, _ = study()
    merged = training["regime"] == "standard"
    training, cells = training[~merged], cells[cells["regime"] == "none"]
    other = [frame.assign(regime="standard", uid="x" + frame["uid"]) for frame in (training, cells)]
    other[0]["value"] += other[0]["init"] * 0.1
    found = row(table(pd.concat([training, other[0]]), pd.concat([cells, other[1]])), "standard")
    assert (found["n"], found["n_pairs"]) == (9, 9)
    assert found["difference"] == pytest.approx(0.1)


def test_an_incomplete_crossed_arm_has_no_interval_and_says_so(study):
    training, cells, _ = study()
    cells.loc[cells["uid"] == "standard-110", "status"] = "diverged"
    found = table(training[training["uid"] != "standard-110"], cells)
    lost = row(found, "standard")
    assert (lost["n"], lost["failed"]) == (17, 1)
    assert lost[["ci_low", "gap_low", "difference_low"]].isna().all()
    assert lost["note"] == (
        "crossed design incomplete (17 of 18 runs): no interval;"
        " difference: crossed design incomplete (17 of 18 runs): no interval"
    )
    assert math.isfinite(row(found, "none")["ci_low"])


def test_a_merged_cell_that_failed_counts_once(study):
    training, cells, _ = study()
    cells.loc[cells["uid"] == "none-00", "status"] = "error"
    found = row(table(training[training["uid"] != "none-00"], cells), "none")
    assert (found["n"], found["failed"]) == (8, 1)


def test_an_isolated_arm_has_a_mean_and_no_interval(study):
    training, cells, _ = study(design="isolated")
    alone = (training[["init", "order", "mask"]] > 0).sum(axis=1) <= 1
    training = training[alone]
    found = table(training, cells[cells["uid"].isin(training["uid"])])
    here = training[(training["regime"] == "standard") & (training["split"] == "test")]
    standard = row(found, "standard")
    assert (standard["n"], standard["design"]) == (6, "isolated")
    assert standard["mean"] == pytest.approx(here["value"].mean())
    assert standard[["sd", "ci_low", "gap_low", "difference_low", "pair_correlation"]].isna().all()
    assert row(found, "none")["n"] == 5


def test_a_design_that_its_levels_contradict_is_refused(study):
    training, cells, _ = study()
    with pytest.raises(ValueError, match="joint design, but has a run whose roles are at different levels"):
        table(training.drop(columns="design"), cells)
    with pytest.raises(ValueError, match="has design nested"):
        design_of(training.assign(design="nested"))
    with pytest.raises(ValueError, match="has design crossed, joint"):
        design_of(pd.concat([training, training.assign(design="joint")]))
    shifted = training.assign(init=training["init"] + (training["regime"] == "none"))
    with pytest.raises(ValueError, match="one replicate, but at different levels"):
        table(shifted, cells)


def test_a_single_run_has_no_interval_in_any_design():
    for design in ("joint", "isolated", "crossed"):
        found, note = estimate(design, [(0,) * len(ROLES)], [0.5])
        assert (found.n, found.mean, note) == (1, 0.5, "")
        assert math.isnan(found.low)


def texts_of(training, cells):
    """One metric of one text per run, equal to the run's test loss."""
    runs = training[training["split"] == "test"]
    own = runs[["task", "model", "regime", "training_replicate", "value"]].assign(training_uid=runs["uid"])
    setting = {"top_k": "5", "temperature": 1.0, "top_p": 1.0, "min_p": 0.0, "inference_replicate": 0}
    made = cells.assign(kind="generation", uid="g" + cells["uid"], **setting)
    return own.assign(metric="distinct-2", unit="text", prompt="p", **setting), pd.concat([cells, made])


def test_texts_of_crossed_runs_have_the_same_interval(study):
    training, cells, values = study()
    metrics, cells = texts_of(training, cells)
    found = generation(metrics, cells, regimes=REGIMES, training=training).set_index("regime")
    for regime, n in (("none", 9), ("standard", 18)):
        assert found.loc[regime, "n_training"] == n
        assert tuple(found.loc[regime, ["mean", "ci_low", "ci_high"]]) == bounds(values[regime])
    assert found.loc["none", "design"] == "crossed init 3 x order 3"


def test_texts_of_incomplete_and_isolated_runs_have_none(study):
    training, cells, _ = study()
    metrics, cells = texts_of(training, cells)
    fewer = metrics[metrics["training_uid"] != "standard-000"]
    found = generation(fewer, cells, regimes=REGIMES, training=training).set_index("regime")
    assert "crossed design incomplete (17 of 18 runs)" in found.loc["standard", "note"]
    assert math.isnan(found.loc["standard", "ci_low"])
    alone = generation(metrics, cells, regimes=REGIMES, training=training.assign(design="isolated"))
    assert alone["ci_low"].isna().all()
    with pytest.raises(ValueError, match="a replicate that table 'training' does not have"):
        generation(metrics, cells, regimes=REGIMES, training=training[training["training_replicate"] > 0])
