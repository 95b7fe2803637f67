"""Variance components of crossed runs, by the method of moments, with generalised confidence intervals.

The expected mean square of a set S of roles is the sum over all sets T that contain S of n(T) * sigma2(T), n(T) being
the number of runs at one combination of T's levels. Inverting it (Moebius) gives every component as a difference of
mean squares, negative ones included. The top interaction is the residual.

Intervals: every mean square's pivot (sum of squares / expected mean square) is chi-square, so expected mean squares
are replaced by sum of squares / chi-square draw and what follows from them is read at its quantiles (Tsui and
Weerahandi 1989, JASA 84:602; Weerahandi 1993, JASA 88:899). They assume normal effects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.analysis.factorial import Factorial, Subset, squares, subsets

# A constant, so that a report is the same whenever it is built; of the study's dice nothing is drawn here.
SEED = 19890615
DRAWS = 20_000
CONFIDENCE = 0.95
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Component:
    """A variance in the metric's squared unit and its share of the total; NaN: unknown."""

    variance: float
    low: float = math.nan
    high: float = math.nan
    share: float = math.nan
    share_low: float = math.nan
    share_high: float = math.nan


def components(table: Factorial) -> tuple[dict[Subset, Component], dict[int, Component]]:
    """Components by set of axes (main effects, interactions), and by axis the total of all components that have it.

    Shares are of the sum of all components: the variance of one run of which every varied role is drawn anew.
    Totals overlap in the interactions, so their shares add up to more than 1. Estimates and bounds are not cut at 0.
    The table must vary: where all values are equal there is nothing to estimate.
    """
    sets = subsets(table.values.ndim)
    found = squares(table.values)
    weights = _weights(table.values.shape)
    totals = np.array([weights[[axis in subset for subset in sets]].sum(axis=0) for axis in range(table.values.ndim)])
    rows = np.concatenate([weights, totals])
    sums = np.array([found[subset].total for subset in sets])
    df = tuple(found[subset].df for subset in sets)
    estimates = _weighted(rows, (sums / np.array(df))[:, None])[:, 0]
    draws = _weighted(rows, sums[:, None] / _chi_squares(df))
    several = _components(estimates, draws, len(sets))
    return dict(zip(sets, several, strict=False)), dict(enumerate(several[len(sets) :]))


def chi_square_interval(variance: float, df: int) -> tuple[float, float]:
    """The classical interval of a variance of independent normal values with so many degrees of freedom."""
    from scipy.stats import chi2

    tail = (1.0 - CONFIDENCE) / 2.0
    return df * variance / float(chi2.ppf(1.0 - tail, df)), df * variance / float(chi2.ppf(tail, df))


def _weights(shape: tuple[int, ...]) -> Array:
    """What every mean square (column) adds to every component (row)."""
    sets = subsets(len(shape))
    rows = []
    for component in sets:
        runs = math.prod(size for axis, size in enumerate(shape) if axis not in component)
        signs = [(-1) ** (len(other) - len(component)) if set(component) <= set(other) else 0 for other in sets]
        rows.append([sign / runs for sign in signs])
    return np.array(rows)


def _weighted(weights: Array, columns: Array) -> Array:
    """The matrix product, summed in one fixed order: the bits must not depend on a library's threads."""
    product: Array = np.einsum("st,tn->sn", weights, columns)
    return product


@lru_cache(maxsize=64)
def _chi_squares(df: tuple[int, ...]) -> Array:
    """Draws for every mean square, the same for every metric of a design. Shape (mean squares, draws)."""
    generator = np.random.Generator(np.random.PCG64(SEED))
    return np.array([generator.chisquare(degrees, DRAWS) for degrees in df])


def _components(estimates: Array, draws: Array, count: int) -> list[Component]:
    """The first `count` rows are the components, whose sum is the total variance.

    No mean square counts negatively in the total, so it is positive in every draw but for runs like a checkerboard of
    two by two levels, where it is 0: then there are no shares.
    """
    columns = [estimates, *_bounds(draws)]
    total = estimates[:count].sum()
    if total > 1e-12 * np.abs(estimates).max():
        columns += [estimates / total, *_bounds(draws / draws[:count].sum(axis=0))]
    return [Component(*(float(column[row]) for column in columns)) for row in range(len(estimates))]


def _bounds(draws: Array) -> list[Array]:
    tail = (1.0 - CONFIDENCE) / 2.0
    return list(np.quantile(draws, [tail, 1.0 - tail], axis=1))
