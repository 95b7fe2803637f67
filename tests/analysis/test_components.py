"""Variance components of crossed runs, by hand and by the textbook; that intervals cover: test_component_intervals."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis import pivots
from harness.analysis.components import chi_square_interval, components
from harness.analysis.factorial import Factorial

TRUTH = {(0,): 1.0, (1,): 0.4, (2,): 0.0, (0, 1): 0.3, (0, 2): 0.0, (1, 2): 0.2, (0, 1, 2): 0.6}


def test_two_roles_by_hand():
    # Mean squares of [[2, 4], [5, 5], [5, 9]]: rows 8, columns 6, residual 4 / 2 = 2 (see test_factorial).
    # Components: rows (8 - 2) / 2 = 3, columns (6 - 2) / 3 = 4 / 3, residual 2; total 19 / 3.
    several, totals = components(Factorial(("init", "order"), np.array([[2.0, 4.0], [5.0, 5.0], [5.0, 9.0]])))
    assert {subset: found.variance for subset, found in several.items()} == pytest.approx(
        {(0,): 3.0, (1,): 4 / 3, (0, 1): 2.0}
    )
    assert [totals[axis].variance for axis in (0, 1)] == pytest.approx([5.0, 10 / 3])
    assert [several[(0,)].share, totals[1].share] == pytest.approx([9 / 19, 10 / 19])


def test_a_negative_estimate_is_shown_as_it_is():
    # A checkerboard: both main mean squares are 0 and the residual 4, so each component is (0 - 4) / 2.
    several, totals = components(Factorial(("init", "order"), np.array([[1.0, -1.0], [-1.0, 1.0]])))
    assert several[(0,)].variance == pytest.approx(-2.0)
    assert several[(0,)].low < 0.0
    assert totals[0].variance == pytest.approx(2.0)
    assert math.isnan(several[(0,)].share)  # the components add up to 0: nothing to be a share of


def test_three_roles_by_the_textbook_formulas(make_crossed):
    # Searle, Casella and McCulloch 1992, three-way crossed without replication, in the mean squares of statsmodels'
    # or anybody's analysis of variance: sigma2_a = (MS_a - MS_ab - MS_ac + MS_abc) / (levels of b * levels of c).
    table = make_crossed((3, 4, 2), TRUTH, np.random.default_rng(1))
    y = table.values
    ms = {}
    for subset in itertools.chain.from_iterable(itertools.combinations(range(3), size) for size in (1, 2, 3)):
        effect = sum(
            (-1) ** (len(subset) - len(inner))
            * y.mean(axis=tuple(a for a in range(3) if a not in inner), keepdims=True)
            for size in range(len(subset) + 1)
            for inner in itertools.combinations(subset, size)
        )
        df = math.prod(y.shape[axis] - 1 for axis in subset)
        ms[subset] = (np.broadcast_to(effect, y.shape) ** 2).sum() / df
    several, totals = components(table)
    a = (ms[0,] - ms[0, 1] - ms[0, 2] + ms[0, 1, 2]) / 8
    ab, ac, abc = (ms[0, 1] - ms[0, 1, 2]) / 2, (ms[0, 2] - ms[0, 1, 2]) / 4, ms[0, 1, 2]
    assert several[(0,)].variance == pytest.approx(a)
    assert several[(0, 1)].variance == pytest.approx(ab)
    assert several[(0, 2)].variance == pytest.approx(ac)
    assert several[(0, 1, 2)].variance == pytest.approx(abc)
    assert totals[0].variance == pytest.approx(a + ab + ac + abc)
    assert sum(found.share for found in several.values()) == pytest.approx(1.0)


def test_the_residual_s_interval_is_the_chi_square_one(make_crossed):
    # The residual's pivot is one chi-square, so its interval is exact.
    table = make_crossed((4, 4), {(0, 1): 1.0}, np.random.default_rng(4))
    residual = components(table)[0][(0, 1)]
    low, high = chi_square_interval(residual.variance, 9)
    assert (residual.low, residual.high) == (pytest.approx(low), pytest.approx(high))


def test_chi_square_interval():
    # 4 degrees of freedom: .359 to 8.257 times the estimate (chi-square quantiles 11.143 and .484, any table).
    assert chi_square_interval(1.0, 4) == pytest.approx((4 / 11.1433, 4 / 0.48442), rel=1e-4)
    assert chi_square_interval(2.0, 7)[1] == pytest.approx(14.0 / stats.chi2.ppf(0.025, 7))


def test_the_same_runs_give_the_same_bits(make_crossed):
    table = make_crossed((3, 3), {(0,): 1.0, (0, 1): 1.0}, np.random.default_rng(5))
    first = components(table)
    pivots._chi_squares.cache_clear()
    assert components(table) == first
