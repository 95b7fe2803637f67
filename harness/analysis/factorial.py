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

from harness.analysis.intervals import Interval
from harness.analysis.means import grand_means

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
    """The grand mean of crossed runs, its interval and the test that it is 0; see harness.analysis.means.

    Runs that share a level are not independent, so Student's t over the runs is far too narrow.

    `sd` is the standard deviation of the runs as they are: it describes them, and estimates no population value. The
    bounds are NaN where the runs do not vary.
    """
    numbers = [float(value) for value in table.values.ravel()]
    mean = statistics.fmean(numbers)
    if len(numbers) < 2 or all_equal(table):
        return Interval(len(numbers), mean, 0.0 if len(numbers) > 1 else math.nan, math.nan, math.nan)
    found = grand_means(table.values[None], confidence)
    half = float(found.high[0] - found.low[0]) / 2.0
    test = (float(found.df[0]), float(found.t[0]), float(found.p[0]))
    return Interval(len(numbers), mean, statistics.stdev(numbers), mean - half, mean + half, *test)
