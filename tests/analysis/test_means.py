"""The mean over all random factors: by hand, against Student's t, and how often its interval covers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from simulator import drawn, shape_of

from harness.analysis.means import Floats, grand_means

STUDIES = 4000


def tables(training: int | dict[str, int], prompts: int, variances: dict[str, float], seed: list[int]) -> Floats:
    """Studies of one arm whose grand mean is 0, [studies, training factors, prompts]; one prompt: no such axis."""
    shape = shape_of(training=training, prompts=prompts)
    values = drawn(shape, variances, np.random.default_rng(seed), studies=STUDIES)
    sizes = [size for name, size in shape.items() if name not in ("regime", "setting", "decode")]
    return np.asarray(values.reshape(STUDIES, *(sizes if prompts > 1 else sizes[:-1])))


def coverage(found: Floats) -> float:
    means = grand_means(found)
    return float(((means.low <= 0.0) & (means.high >= 0.0)).mean())


def test_one_factor_is_student_s_t() -> None:
    values = np.random.default_rng(1).normal(size=(6, 5)) + 0.7
    found, known = grand_means(values), stats.ttest_1samp(values, 0.0, axis=1)
    low, high = known.confidence_interval()
    np.testing.assert_allclose([found.low, found.high, found.t, found.p], [low, high, known.statistic, known.pvalue])
    assert (found.df == 4.0).all()


def test_two_factors_by_hand() -> None:
    # Row means 1, 3, 8, column means 2, 6, all 4. MS_T = 2 * (9 + 1 + 16) / 2 = 26, MS_P = 3 * (4 + 4) / 1 = 24,
    # residuals 0, 0; 1, -1; -1, 1 (of -1 + 3, 5 + 5, ...): MS_TP = 4 / 2 = 2. Variance (26 + 24 - 2) / 6 = 8.
    table = np.array([[[-1.0, 3.0], [2.0, 4.0], [5.0, 11.0]]])
    found = grand_means(table)
    assert found.mean[0] == 4.0
    df = 48.0**2 / (26**2 / 2 + 24**2 / 1 + 2**2 / 2)
    whole, alone = stats.t.ppf(0.975, df) * math.sqrt(8), stats.t.ppf(0.975, 1) * math.sqrt(24 / 6)
    assert alone > whole
    assert found.high[0] - 4.0 == pytest.approx(alone)
    assert (found.df[0], found.t[0]) == (1.0, pytest.approx(4.0 / 2.0))
    assert found.p[0] == pytest.approx(max(2 * stats.t.sf(4 / 2, 1), 2 * stats.t.sf(4 / math.sqrt(8), df)))


def test_mean_squares_are_those_of_an_analysis_of_variance() -> None:
    """Three factors, each mean square by its definition over all cells."""
    table = np.random.default_rng(4).normal(size=(3, 4, 5)) + np.arange(5)
    total, whole = 0.0, []
    for size in (1, 2, 3):
        for term in itertools.combinations(range(3), size):
            effect = np.zeros(table.shape)
            for count in range(size + 1):
                for part in itertools.combinations(term, count):
                    others = tuple(axis for axis in range(3) if axis not in part)
                    effect += (-1) ** (size - count) * table.mean(axis=others, keepdims=True)
            df = math.prod(table.shape[axis] - 1 for axis in term)
            square = float((effect**2).sum()) / df / table.size
            total += (-1) ** (size + 1) * square
            whole.append(square**2 / df)
    found = grand_means(table[None])
    df = total**2 / sum(whole)
    assert found.df[0] == pytest.approx(df)
    assert found.high[0] - found.mean[0] == pytest.approx(stats.t.ppf(0.975, df) * math.sqrt(total))


def test_the_order_of_factors_and_levels_changes_nothing() -> None:
    table = np.random.default_rng(5).normal(size=(1, 3, 4, 3)) + 1.0
    one = grand_means(table)
    for other in (table[:, ::-1], table.transpose(0, 3, 2, 1), table.transpose(0, 2, 1, 3)):
        two = grand_means(other)
        np.testing.assert_allclose([one.low, one.high, one.df, one.p], [two.low, two.high, two.df, two.p])


def test_a_p_below_05_says_what_the_interval_says() -> None:
    values = np.random.default_rng(6).normal(size=(500, 4, 6)) + 0.4
    found = grand_means(values)
    outside = (found.low > 0.0) | (found.high < 0.0)
    assert 0.05 < outside.mean() < 0.95
    assert not outside[found.p < 0.05].size - outside[found.p < 0.05].sum()
    # p is the larger of two forms, and so may be a little more careful than the interval, never less.
    assert (found.p[~outside] >= 0.05).all()


def test_nothing_to_tell_is_nan_and_never_a_width_of_zero() -> None:
    for table in (np.full((1, 3, 4), 0.7), np.ones((1, 1, 4)), np.array([[[1.0, -1.0], [-1.0, 1.0]]])):
        found = grand_means(table)
        assert np.isnan([found.low, found.high, found.df, found.t, found.p]).all()
    with pytest.raises(ValueError, match="finite"):
        grand_means(np.array([[[1.0, math.nan], [0.0, 1.0]]]))


# 4,000 studies: the standard error of a coverage of .95 is .0034. Coverages in .94 to .96 leave .93 to .97 with a
# probability below .002 a scenario, about .06 over all 30. The seeds are fixed.
KINDS = {
    "training": {"training": 1.0, "prompt": 0.05, "training x prompt": 1.0},
    "prompt": {"training": 0.01, "prompt": 1.0, "training x prompt": 0.2},
    "both": {"training": 0.05, "prompt": 1.0, "training x prompt": 1.0},
}


@pytest.mark.parametrize("prompts", [10, 40, 100])
@pytest.mark.parametrize("replicates", [3, 5, 8])
def test_joint_intervals_cover(replicates: int, prompts: int, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (kind, variances) in enumerate(KINDS.items()):
        found = coverage(tables(replicates, prompts, variances, [number, replicates, prompts]))
        with capsys.disabled():
            print(f"\ncoverage of the mean, {replicates} replicates x {prompts} prompts, {kind}: {found:.3f}", end="")
        assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("replicates", [3, 5, 8])
def test_joint_intervals_cover_where_there_is_only_noise(replicates: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = coverage(tables(replicates, 40, {"training x prompt": 1.0}, [9, replicates]))
    with capsys.disabled():
        print(f"\ncoverage of the mean, {replicates} replicates x 40 prompts, noise only: {found:.3f}", end="")
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("prompts", [1, 40])
@pytest.mark.parametrize("sizes", [(3, 3), (3, 3, 3), (4, 4, 4), (2, 4, 8)])
def test_crossed_intervals_cover(sizes: tuple[int, ...], prompts: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("init", "order", "mask")[: len(sizes)]
    top = " x ".join(names)
    kinds = {
        "one role rules": {"init": 1.0, top: 0.1},
        "all roles": {**dict.fromkeys(names, 0.3), top: 1.0},
        "interactions": {"init x order": 1.0, "init": 0.2, top: 0.5},
    }
    for number, (kind, variances) in enumerate(kinds.items()):
        some = variances | ({"prompt": 1.0, f"{top} x prompt": 1.0} if prompts > 1 else {})
        found = coverage(tables(dict(zip(names, sizes, strict=True)), prompts, some, [number, prompts, *sizes]))
        with capsys.disabled():
            print(f"\ncoverage of the mean, crossed {sizes} x {prompts} prompts, {kind}: {found:.3f}", end="")
        # Where interactions rule, every role's mean square is large by them alone: too wide rather than too narrow.
        assert 0.93 <= found <= (0.97 if kind == "one role rules" else 0.995)
