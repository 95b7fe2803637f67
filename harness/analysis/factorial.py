"""Crossed runs: one value for every combination of the varied roles' levels, and what follows from their mean squares.

The model is the fully random one: a run is the grand mean plus an independent draw for every level of every role and
for every combination of levels (Searle, Casella and McCulloch 1992, Variance Components, chapter 4). Runs are
deterministic and stand once per combination, so nothing lies below the top interaction: it is the residual.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.intervals import Interval, t_quantile

ROLES = ("init", "sample", "order", "mask")
Levels = tuple[int, ...]
Subset = tuple[int, ...]


@dataclass(frozen=True)
class Factorial:
    """A balanced table of runs.

    Attributes:
        roles: the roles that vary, in the order of `ROLES`.
        values: shape (levels of the first role, levels of the second, ...).
    """

    roles: tuple[str, ...]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Square:
    """A sum of squares of the analysis of variance with its degrees of freedom."""

    total: float
    df: int

    @property
    def mean(self) -> float:
        """The mean square."""
        return self.total / self.df


def varied(levels: Iterable[Levels]) -> dict[str, list[int]]:
    """The levels, in order, of every role that has more than one."""
    columns = zip(ROLES, zip(*levels, strict=True), strict=False)
    return {role: sorted(set(column)) for role, column in columns if len(set(column)) > 1}


def factorial(levels: Sequence[Levels], values: Sequence[float]) -> Factorial | None:
    """The balanced table of these runs; None where a combination of the levels that occur is missing.

    Args:
        levels: of each run, in the order of `ROLES`.
        values: of each run.

    Raises:
        ValueError: two runs have the same levels.
    """
    axes = varied(levels)
    places = [
        tuple(axes[role].index(level) for role, level in zip(ROLES, run, strict=True) if role in axes) for run in levels
    ]
    if len(set(places)) < len(places):
        raise ValueError("two runs of a crossed design have the same levels")
    if not places or len(places) != math.prod(map(len, axes.values())):
        return None
    table = np.empty([len(axis) for axis in axes.values()])
    for place, value in zip(places, values, strict=True):
        table[place] = value
    return Factorial(tuple(axes), table)


def subsets(count: int) -> list[Subset]:
    """Every non-empty set of so many axes: main effects first, the top interaction last."""
    return [subset for size in range(1, count + 1) for subset in itertools.combinations(range(count), size)]


def squares(values: npt.NDArray[np.float64]) -> dict[Subset, Square]:
    """Sums of squares of every main effect and interaction of a balanced table, by the set of its axes."""
    found = {}
    for subset in subsets(values.ndim):
        effect = values
        for axis in range(values.ndim):
            mean = effect.mean(axis=axis, keepdims=True)
            effect = effect - mean if axis in subset else mean
        copies = values.size // effect.size
        df = math.prod(values.shape[axis] - 1 for axis in subset)
        found[subset] = Square(copies * float(np.square(effect).sum()), df)
    return found


def all_equal(table: Factorial) -> bool:
    """True where the runs do not vary (to 12 digits): there is nothing to estimate a spread from."""
    return bool(np.ptp(table.values) <= 1e-12 * np.abs(table.values).max())


def crossed_interval(table: Factorial, confidence: float = 0.95) -> Interval:
    """The grand mean of crossed runs with an interval that covers at least at its level.

    Runs that share a level are not independent, so Student's t over the runs is far too narrow. The variance of the
    grand mean is estimated by the sum of the roles' mean squares over the number of runs. It counts an interaction of
    s roles s times: it is too large rather than too small, and needs no component, which could come out negative.
    Degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2:110). They are too many where one role with
    few levels rules, so the interval is never narrower than what the mean square of any single role gives with its
    own degrees of freedom. Simulated coverage: tests/analysis/test_factorial.py.

    `sd` is the standard deviation of the runs as they are: it describes them, and estimates no population value. The
    bounds are NaN where the roles' means do not vary.
    """
    numbers = [float(value) for value in table.values.ravel()]
    mean = statistics.fmean(numbers)
    if len(numbers) < 2 or all_equal(table):
        return Interval(len(numbers), mean, 0.0 if len(numbers) > 1 else math.nan, math.nan, math.nan)
    effects = squares(table.values)
    half = _half_width([effects[(axis,)] for axis in range(table.values.ndim)], len(numbers), confidence)
    return Interval(len(numbers), mean, statistics.stdev(numbers), mean - half, mean + half)


def _half_width(roles: Sequence[Square], runs: int, confidence: float) -> float:
    total = math.fsum(role.mean for role in roles)
    if total == 0.0:
        return math.nan
    probability = 0.5 + confidence / 2.0
    df = total**2 / math.fsum(role.mean**2 / role.df for role in roles)
    alone = [t_quantile(probability, role.df) * math.sqrt(role.mean / runs) for role in roles]
    return max(t_quantile(probability, df) * math.sqrt(total / runs), *alone)
