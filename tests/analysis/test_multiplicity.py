"""Holm, sign flips and P(better) against scipy, statsmodels and what can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from harness.analysis.directions import direction
from harness.analysis.multiplicity import holm, sign_flip, smallest_sign_flip_p
from harness.analysis.wins import reading, win_columns, wins


def test_holm_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    for size in (1, 2, 5, 30):
        p = rng.uniform(0.0, 0.2, size)
        adjusted, factors = holm(p)
        np.testing.assert_allclose(adjusted, multipletests(p, method="holm")[1])
        assert sorted(factors) == list(range(1, size + 1))


def test_no_test_is_in_no_family() -> None:
    adjusted, factors = holm([0.01, math.nan, 0.04])
    assert (adjusted[0], adjusted[2], list(factors)) == (0.02, 0.04, [2, 0, 1])
    assert math.isnan(adjusted[1])
    assert len(holm([])[1]) == 0


def test_the_smallest_sign_flip_p() -> None:
    assert [smallest_sign_flip_p(pairs) for pairs in (1, 3, 5, 6, 8)] == [1.0, 0.25, 0.0625, 0.03125, 0.0078125]


@pytest.mark.parametrize("pairs", [8, 10, 13])
def test_sign_flips_are_those_of_scipy(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    for shift in (0.0, 0.5, 3.0):
        values = rng.normal(shift, 1.0, pairs)
        known = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
        p, smallest = sign_flip(values)
        assert p == pytest.approx(known.pvalue)
        assert smallest == 2.0 ** (1 - pairs)


def test_the_smallest_p_is_reached_and_fewer_pairs_have_none() -> None:
    assert sign_flip(np.arange(1.0, 9.0)) == (1 / 128, 1 / 128)
    assert sign_flip(np.zeros(8))[0] == 1.0
    assert np.isnan(sign_flip(np.arange(1.0, 8.0))).all()


def test_beyond_fourteen_pairs_flips_are_drawn() -> None:
    values = np.random.default_rng(4).normal(0.4, 1.0, 16)
    known = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    p, smallest = sign_flip(values)
    # 9,999 draws: the standard error of a share of .1 is .003.
    assert p == pytest.approx(known, abs=0.015)
    assert (sign_flip(values), smallest) == ((p, smallest), 1e-4)


def test_wins_count_ties_half_and_have_the_exact_interval() -> None:
    found = wins([1.0, 2.0, -1.0, 3.0], 1.0, directed=True)
    low, high = stats.binomtest(3, 4).proportion_ci(0.95, method="exact")
    assert (found.share, found.low, found.high, found.reading) == (0.75, low, high, "")
    # Two and a half of four: as two below and as three above.
    tied = wins([1.0, 1.0, -1.0, 1e-14], 1.0, directed=True)
    assert tied.share == 0.625
    assert tied.low == stats.binomtest(2, 4).proportion_ci(0.95, method="exact").low
    assert tied.high == high
    assert math.isnan(wins([], 1.0, directed=True).share)


def test_the_reading_is_bouthillier_s_and_needs_ten_pairs_and_a_direction() -> None:
    assert reading(0.51, 0.80) == "significant and meaningful"
    assert reading(0.51, 0.74) == "significant, not meaningful"
    assert reading(0.50, 0.99) == "not significant"
    assert reading(0.1, 0.49) == "worse: significant and meaningful"
    assert reading(0.3, 0.49) == "worse: significant, not meaningful"
    ten = [1.0] * 10
    assert wins(ten, 1.0, directed=True).reading == "significant and meaningful"
    assert wins(ten[:9], 1.0, directed=True).reading == ""
    assert wins(ten, 1.0, directed=False).reading == ""


def test_directions_turn_the_win_round() -> None:
    assert win_columns([1.0, 1.0], [2.0, 2.0], "lower", "joint")["better"] == 1.0
    assert win_columns([1.0, 1.0], [2.0, 2.0], "higher", "joint")["better"] == 0.0
    assert win_columns([1.0, 1.0], [2.0, 2.0], "none", "joint")["better"] == 0.0
    assert math.isnan(win_columns([1.0], [2.0], "lower", "crossed")["better"])


def test_directions_of_metrics() -> None:
    assert [direction(name) for name in ("loss", "accuracy", "ece", "matthews", "steps-to-loss-1.5", "mc-brier")] == [
        "lower", "higher", "lower", "higher", "lower", "lower"
    ]  # fmt: skip
    assert direction("attention-entropy") == "none"
    assert direction("perplexity") == "lower"
    assert direction("perplexity", of_texts=True) == "none"
    assert direction("repetition-loop", of_texts=True) == "lower"


# 2,000 samples: the exact interval covers at least .95, with few pairs more; .94 lies two standard errors below, which
# has probability .02 a case were it just exact. The seeds are fixed.
@pytest.mark.parametrize("pairs", [3, 5, 10, 29])
@pytest.mark.parametrize("truth", [0.5, 0.75, 0.9])
def test_p_better_covers(pairs: int, truth: float, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng([pairs, int(100 * truth)])
    found = [wins(np.where(rng.random(pairs) < truth, 1.0, -1.0), 1.0, directed=True) for _ in range(2000)]
    covered = float(np.mean([one.low <= truth <= one.high for one in found]))
    with capsys.disabled():
        print(f"\ncoverage of P(better) = {truth}, {pairs} pairs: {covered:.3f}", end="")
    assert covered >= 0.94
