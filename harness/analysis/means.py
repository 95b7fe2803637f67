"""The mean over all random factors at once: new training replicates AND new prompts, or new levels of crossed roles.

A table has one axis per random factor, crossed, and one value a cell (decode replicates are averaged before: they are
nested in prompt). The variance of its grand mean is a sum of the factors' mean squares and those of their interactions
with alternating signs, over the number of cells; for training x prompt (MS_T + MS_P - MS_TP) / (R P). It is unbiased,
counts every component once, and its degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2:110).

Factors with few levels are what such an interval gets wrong: by chance their mean square is small, and then the
degrees of freedom are counted too many, or the difference is not even positive. So the interval is never narrower than
what the mean square of any factor gives alone, with its own degrees of freedom; the factor with the most levels is left
out of this, where there is one. With one factor it is Student's t. Simulated coverage of nominal 95 % (figures of
tests/analysis/test_means.py): training x prompt, 3 to 8 replicates and 10 prompts or more, .94 to .97, whichever
component rules; crossed roles .94 to .97 where one role rules, up to .99 where interactions do, for a role with few
levels then looks as if it varied: too wide rather than too narrow.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
EQUAL = 1e-12  # relative: what differs by less is equal


@dataclass(frozen=True)
class Means:
    """Of every table: grand mean, interval, degrees of freedom, and the test that the mean is 0.

    `t` and `df` belong to the interval; `p` is the largest of what its forms give. Arrays [tables]; NaN: unknown.
    """

    mean: Floats
    low: Floats
    high: Floats
    df: Floats
    t: Floats
    p: Floats


def grand_means(tables: Floats, confidence: float = 0.95) -> Means:
    """Means of many tables of one shape.

    Args:
        tables: [tables, levels of the first factor, levels of the second, ...], no NaN.
        confidence: coverage, between 0 and 1.

    Returns: bounds, df, t and p are NaN where a factor has one level, or where nothing varies (to 12 digits).

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not np.isfinite(tables).all():
        raise ValueError("a mean over all factors needs finite values")
    mean = tables.reshape(len(tables), -1).mean(axis=1)
    if min(tables.shape[1:]) < 2:
        nothing = np.full(len(tables), math.nan)
        return Means(mean, nothing, nothing, nothing, nothing, nothing)
    variances, df = _forms(tables)
    flat = tables.reshape(len(tables), -1)
    variances[:, np.ptp(flat, axis=1) <= EQUAL * np.abs(flat).max(axis=1)] = math.nan
    return _read(mean, variances, df, confidence)


def _forms(tables: Floats) -> tuple[Floats, Floats]:
    """Variances of the grand mean and their degrees of freedom, each [forms, tables]; see the module."""
    sizes = tables.shape[1:]
    terms = [term for size in range(len(sizes)) for term in itertools.combinations(range(len(sizes)), size + 1)]
    signs = np.array([(-1.0) ** (len(term) + 1) for term in terms])[:, None]
    degrees = np.array([math.prod(sizes[axis] - 1 for axis in term) for term in terms], dtype=float)[:, None]
    parts = np.stack([_sum_of_squares(tables, term) for term in terms]) / degrees / tables[0].size
    whole = np.maximum((signs * parts).sum(axis=0), 0.0)
    spread = (parts**2 / degrees).sum(axis=0)
    # A sum of mean squares has no fewer degrees of freedom than its poorest part; only the differences take it below.
    df = np.maximum(np.divide(whole**2, spread, out=np.ones_like(whole), where=spread > 0.0), min(sizes) - 1.0)
    few = [axis for axis, size in enumerate(sizes) if size < max(sizes) or min(sizes) == max(sizes)]
    alone = np.broadcast_to(degrees[few], (len(few), len(tables)))
    return np.concatenate([whole[None], parts[few]]), np.concatenate([df[None], alone])


def _sum_of_squares(tables: Floats, term: tuple[int, ...]) -> Floats:
    """Of every table, for a main effect or an interaction of these factors."""
    effect = tables
    for axis in range(tables.ndim - 1):
        mean = effect.mean(axis=axis + 1, keepdims=True)
        effect = effect - mean if axis in term else mean
    copies = tables[0].size // effect[0].size
    found: Floats = copies * np.square(effect).reshape(len(tables), -1).sum(axis=1)
    return found


def _read(mean: Floats, variances: Floats, df: Floats, confidence: float) -> Means:
    """Interval and test of every form, and of all the most careful."""
    from scipy.special import stdtr, stdtrit

    halves = stdtrit(df, 0.5 + confidence / 2.0) * np.sqrt(variances)
    wider = halves.argmax(axis=0)  # the first NaN, where there is one
    each = np.arange(len(mean))
    half = np.where(halves[wider, each] > EQUAL * np.abs(mean), halves[wider, each], math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / np.sqrt(variances)
        p = np.fmax.reduce(2.0 * stdtr(df, -np.abs(t)))
    known = np.isfinite(half)
    own_df, own_t = np.where(known, df[wider, each], math.nan), np.where(known, t[wider, each], math.nan)
    return Means(mean, mean - half, mean + half, own_df, own_t, np.where(known, p, math.nan))
