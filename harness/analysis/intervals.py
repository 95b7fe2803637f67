"""Means with intervals.

Sums go through `math.fsum` and `statistics`, which round once: the same numbers in any order and on any machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Interval:
    """A mean over n values, their standard deviation (n - 1) and a confidence interval of the mean; NaN: unknown.

    `df`, `t` and `p` are of the test that the mean is 0, two-sided.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    df: float = math.nan
    t: float = math.nan
    p: float = math.nan


@lru_cache(maxsize=4096)
def share_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact (Clopper-Pearson 1934) interval of a probability, from `count` of `total` independent trials."""
    from scipy.stats import binomtest

    found = binomtest(count, total).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def t_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Mean and Student's t interval of independent values (Student 1908, Biometrika 6:1).

    It assumes roughly normal values. With one value the spread is unknown: sd and bounds are NaN, never 0. Where all
    values are equal (to 12 digits) the sd is 0 and the bounds are NaN: an interval without width would cover nothing,
    and on coarse metrics a few equal replicates are no rarity.

    Args:
        values: one number per independent unit (here: per training replicate), in the metric's own unit.
        confidence: coverage, strictly between 0 and 1.

    Raises:
        ValueError: a value is NaN or infinite, or the confidence is outside (0, 1).
    """
    numbers = [float(value) for value in values]
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} must lie between 0 and 1")
    if any(not math.isfinite(number) for number in numbers):
        raise ValueError(f"an interval needs finite values, got {numbers}")
    n = len(numbers)
    if n < 2:
        return Interval(n, numbers[0] if n else math.nan, math.nan, math.nan, math.nan)
    mean, sd = statistics.fmean(numbers), statistics.stdev(numbers)
    if sd <= 1e-12 * abs(mean):
        return Interval(n, mean, 0.0, math.nan, math.nan)
    error = sd / math.sqrt(n)
    half = t_quantile(0.5 + confidence / 2.0, n - 1) * error
    return Interval(n, mean, sd, mean - half, mean + half, n - 1.0, mean / error, t_test(mean / error, n - 1.0))


def correlation(left: list[float], right: list[float]) -> float:
    """Pearson's correlation of pairs; NaN with fewer than 3 pairs or where one side does not vary."""
    if len(left) < 3 or len(set(left)) < 2 or len(set(right)) < 2:
        return math.nan
    return statistics.correlation(left, right)


def t_test(t: float, df: float) -> float:
    """The two-sided p of Student's t."""
    from scipy.special import stdtr

    return 2.0 * float(stdtr(df, -abs(t)))


@lru_cache(maxsize=1024)
def t_quantile(probability: float, df: float) -> float:
    """Student's t quantile; the degrees of freedom need not be whole."""
    from scipy.special import stdtrit

    return float(stdtrit(df, probability))
