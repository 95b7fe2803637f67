"""The estimators of other work: an independent form of each, and what their intervals really cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from simulator import block_of, drawn, shape_of, study_of_blocks

from harness.analysis.comparisons import COLUMNS, COVERAGE, comparisons, iqm, iqm_draws, multi_bootstrap
from harness.analysis.study import Study

RUNS, EXAMPLES = 5, 60


def study(seed: int = 0, runs: int = RUNS, design: str = "joint") -> Study:
    values = drawn(
        shape_of(training=runs, prompts=EXAMPLES, regimes=2),
        {"training": 1.0, "prompt": 1.0, "regime x training x prompt": 1.0},
        np.random.default_rng(3),
    )[0]
    values[1] += 0.5
    fields = {"unit": "example", "metric": "loss", "design": design}
    blocks = [block_of(values, **fields), block_of(values.mean(axis=3, keepdims=True), **{**fields, "unit": "split"})]
    found: Study = study_of_blocks(blocks, seed=seed)
    return found


def test_the_rows_and_their_point_estimates() -> None:
    found = comparisons(study())
    assert list(found.columns) == COLUMNS
    assert found[["estimator", "regime", "reference", "n"]].to_numpy().tolist() == [
        ["IQM", "none", "", RUNS],
        ["IQM", "regime-1", "", RUNS],
        ["multi-bootstrap", "regime-1", "none", RUNS],
    ]
    values = study().examples[0].values[:, 0, :, :, 0]
    multi = found.iloc[2]
    assert multi["estimate"] == pytest.approx((values[1] - values[0]).mean())
    assert multi["low"] < multi["estimate"] < multi["high"]
    assert found["estimate"].iloc[0] == pytest.approx(stats.trim_mean(values[0].mean(axis=1), 0.25))
    assert found["note"].eq("5 runs: covers less than 95 % (about 84 % with 5 runs)").all()


def test_the_multi_bootstrap_is_that_of_its_definition() -> None:
    """Indices drawn and scores averaged one resample at a time, with other draws."""
    block = study().examples[0]
    mine, theirs = block.values[1, 0, :, :, 0], block.values[0, 0, :, :, 0]
    dice, deltas = np.random.default_rng(11), []
    for _ in range(4000):
        seeds, rows = dice.integers(0, RUNS, RUNS), dice.integers(0, EXAMPLES, EXAMPLES)
        deltas.append(np.mean([mine[s, rows].mean() - theirs[s, rows].mean() for s in seeds]))
    drawn_here = multi_bootstrap(mine - theirs, 0)
    # 1,000 and 4,000 draws: the standard error of a 2.5 % quantile is about .09 sd; three of them.
    sd = float(np.std(deltas))
    assert drawn_here.mean() == pytest.approx(np.mean(deltas), abs=0.15 * sd)
    for level in (0.025, 0.975):
        assert np.quantile(drawn_here, level) == pytest.approx(np.quantile(deltas, level), abs=0.27 * sd)


def test_iqm_is_the_trimmed_mean() -> None:
    values = np.random.default_rng(2).normal(size=(9, 7))
    np.testing.assert_allclose(iqm(values), stats.trim_mean(values, 0.25, axis=1))
    assert len(iqm_draws(values[0], 1)) == 1000


def test_draws_follow_from_the_study_seed_alone() -> None:
    one, two, other = comparisons(study(1)), comparisons(study(1)), comparisons(study(2))
    assert one.equals(two)
    assert not one["low"].equals(other["low"])
    assert one["estimate"].equals(other["estimate"])


def test_what_has_no_interval_says_why() -> None:
    crossed = comparisons(study(design="isolated"))
    assert crossed["low"].isna().all()
    assert crossed["note"].eq("isolated design: it knows one axis of runs").all()
    alone = comparisons(study(runs=1))
    assert alone["note"].eq("1 run: no interval").all()
    assert not any(map(math.isnan, alone["estimate"]))


@pytest.mark.parametrize("runs", COVERAGE)
def test_its_interval_does_not_cover_with_few_runs(runs: int, capsys: pytest.CaptureFixture[str]) -> None:
    """400 studies: the standard error of a coverage of .8 is .02. Three of them and the table's rounding: .065."""
    dice = np.random.default_rng(runs)
    covered = 0
    for seed in range(400):
        changes = dice.normal(size=(runs, 1)) + 0.3 * dice.normal(size=(runs, 100))
        low, high = np.quantile(multi_bootstrap(changes, seed, 250), [0.025, 0.975])
        covered += low <= 0.0 <= high
    with capsys.disabled():
        print(f"\ncoverage of the multi-bootstrap, {runs} runs: {covered / 400:.3f}", end="")
    assert covered / 400 == pytest.approx(COVERAGE[runs], abs=0.065)
