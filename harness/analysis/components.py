"""Variance components of crossed runs, by the method of moments, with confidence intervals.

The model and its estimators are those of harness/analysis/crossed.py with one axis for every role that varies; the
intervals those of harness/analysis/pivots.py. The top interaction is the residual: one run per combination.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.analysis.crossed import Layout, squares
from harness.analysis.factorial import Factorial, Subset
from harness.analysis.pivots import CONFIDENCE, Estimates, estimates


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
    The table must vary: where all values are equal there is nothing to estimate. For runs like a checkerboard of two
    by two levels all components add up to 0: then there are no shares.
    """
    axes = range(table.values.ndim)
    layout = Layout(table.values.ndim, prompt=False, decode=False)
    found = squares(table.values[None], layout)
    sets = [tuple(sorted(term)) for term in layout.terms()]
    totals = [found.weights[[axis in subset for subset in sets]].sum(axis=0) for axis in axes]
    rows = np.concatenate([found.weights, totals, found.weights.sum(axis=0)[None]])
    several = estimates(found.mean, found.df, rows)
    numbers = [_component(several, place) for place in range(len(rows))]
    return dict(zip(sets, numbers, strict=False)), dict(zip(axes, numbers[len(sets) :], strict=False))


def chi_square_interval(variance: float, df: int) -> tuple[float, float]:
    """The classical interval of a variance of independent normal values with so many degrees of freedom."""
    from scipy.stats import chi2

    tail = (1.0 - CONFIDENCE) / 2.0
    return df * variance / float(chi2.ppf(1.0 - tail, df)), df * variance / float(chi2.ppf(tail, df))


def _component(several: Estimates, place: int) -> Component:
    columns = (several.value, several.low, several.high, several.share, several.share_low, several.share_high)
    return Component(*(float(column[0, place]) for column in columns))
