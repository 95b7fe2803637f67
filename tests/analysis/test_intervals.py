import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis.intervals import correlation, t_interval


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("values", [[0.81, 0.84, 0.79], [-3.0, 1e4], [2.5, 2.25, 7.0, 11.0, -1.0, 0.5]])
def test_agrees_with_scipy(values, confidence):
    found = t_interval(values, confidence)
    low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (found.n, found.mean, found.sd) == (
        len(values),
        pytest.approx(np.mean(values)),
        pytest.approx(np.std(values, ddof=1)),
    )
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_hand_computed():
    # mean 2, sd 1, t(.975, 2 df) = 4.302653 (Student's table), half-width 4.302653 / sqrt(3)
    found = t_interval([1.0, 2.0, 3.0])
    assert (found.mean, found.sd) == (2.0, 1.0)
    assert found.high - found.mean == pytest.approx(2.484138, abs=1e-6)


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([0.5], 0.5)])
def test_one_value_has_no_known_spread(values, mean):
    found = t_interval(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert all(math.isnan(bound) for bound in (found.sd, found.low, found.high))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_refuses_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="finite"):
        t_interval([1.0, bad, 2.0])


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_refuses_a_confidence_that_is_none(confidence):
    with pytest.raises(ValueError, match="confidence"):
        t_interval([1.0, 2.0], confidence)


def test_order_of_values_never_matters():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=101) * 10.0 ** rng.integers(-8, 8, 101)).tolist()
    assert t_interval(values) == t_interval(values[::-1]) == t_interval(rng.permutation(values))


def test_covers_at_its_level():
    # 4,000 studies of 5 replicates: the standard error of the coverage is .0034, so a right interval leaves
    # .95 +- 4 se with probability 6e-5; the seed is fixed.
    draws = np.random.default_rng(1).normal(3.0, 2.0, size=(4000, 5))
    covered = [found.low <= 3.0 <= found.high for found in map(t_interval, draws)]
    assert abs(np.mean(covered) - 0.95) < 4 * 0.0034


def test_correlation_of_pairs():
    left, right = [0.1, 0.4, 0.35, 0.9], [1.0, 3.0, 2.0, 2.5]
    assert correlation(left, right) == pytest.approx(stats.pearsonr(left, right)[0])
    assert math.isnan(correlation([1.0, 2.0], [1.0, 2.0]))
    assert math.isnan(correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
