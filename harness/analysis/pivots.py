"""Intervals of variances that are linear in mean squares, and of their shares.

Both rest on a mean square's pivot, sum of squares / expected mean square, being chi-square: normal effects. Nothing is
cut at 0.

Variances: the modified large sample interval (Graybill and Wang 1980, JASA 75:869). Every mean square alone would have
its exact bounds; their squared distances from the estimate are added up. A mean square that is subtracted adds its
distance on the other side (Ting et al. 1990, Journal of Statistical Computation and Simulation 35:135, whose terms for
pairs are left out: they hardly matter here, and undercover with many subtracted terms). The generalised interval below
covers as well for one component, but sums of mean squares with few degrees of freedom only at 90 % or less.

Shares: generalised intervals (Tsui and Weerahandi 1989, JASA 84:602; Weerahandi 1993, JASA 88:899). Expected mean
squares are replaced by sum of squares / chi-square draw, and the ratio is read at its quantiles. The draws are a Latin
hypercube (McKay, Beckman and Conover 1979, Technometrics 21:239): evenly spread quantiles of each chi-square, each in
its own fixed order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from harness.analysis.crossed import EQUAL

# A constant, so that a report is the same whenever it is built; of the study's dice nothing is drawn here.
SEED = 19890615
DRAWS = 4000
CONFIDENCE = 0.95
# Shares need a whole that is positive in all draws but these: fewer than lie beyond either bound.
_NO_WHOLE = 0.02
_TABLES_AT_ONCE = 32
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """Of every table (row) and quantity (column): the estimate, its interval and Satterthwaite degrees of freedom.

    Shares are of the last quantity; there are none where that may be 0. NaN: unknown.
    """

    value: Floats
    low: Floats
    high: Floats
    df: Floats
    share: Floats
    share_low: Floats
    share_high: Floats


def estimates(mean: Floats, df: Floats, rows: Floats) -> Estimates:
    """Quantities that are linear in mean squares.

    Args:
        mean: mean squares [tables, terms].
        df: their degrees of freedom [tables, terms].
        rows: weights [quantities, terms] or [tables, quantities, terms]; the last quantity is the whole of the shares.
    """
    every = np.broadcast_to(rows, (len(mean), *rows.shape[-2:]))
    chunks = [slice(start, start + _TABLES_AT_ONCE) for start in range(0, len(mean), _TABLES_AT_ONCE)]
    parts = [_estimates(mean[chunk], df[chunk], every[chunk]) for chunk in chunks]
    return Estimates(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _estimates(mean: Floats, df: Floats, rows: Floats) -> tuple[Floats, ...]:
    value = np.einsum("trm,tm->tr", rows, mean)
    parts = rows * mean[:, None]
    scale = np.abs(parts).max(axis=(1, 2))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        satterthwaite = value**2 / np.einsum("trm,tm->tr", parts**2, 1.0 / df)
    low, high = _kept(*_variance_bounds(value, parts, df), EQUAL * scale)
    return value, low, high, satterthwaite, *_shares(value, np.einsum("trm,tmn->trn", rows, pivots(mean, df)), scale)


def _variance_bounds(value: Floats, parts: Floats, df: Floats) -> tuple[Floats, Floats]:
    """Modified large sample bounds; parts [tables, quantities, terms] is what every mean square adds to the value."""
    from scipy.special import chdtri

    tail = (1.0 - CONFIDENCE) / 2.0
    below, above = 1.0 - df / chdtri(df, tail), df / chdtri(df, 1.0 - tail) - 1.0
    added, taken = np.maximum(parts, 0.0) ** 2, np.minimum(parts, 0.0) ** 2
    down = np.einsum("trm,tm->tr", added, below**2) + np.einsum("trm,tm->tr", taken, above**2)
    up = np.einsum("trm,tm->tr", added, above**2) + np.einsum("trm,tm->tr", taken, below**2)
    return value - np.sqrt(down), value + np.sqrt(up)


def _shares(value: Floats, draws: Floats, scale: Floats) -> list[Floats]:
    """Of every quantity its part of the last one, with bounds."""
    tail = (1.0 - CONFIDENCE) / 2.0
    least = np.where(scale > 0.0, EQUAL * scale, 1.0)[..., None]
    low, high = np.quantile(draws / np.maximum(draws[:, -1:], least), [tail, 1.0 - tail], axis=-1)
    whole = _whole(value, draws, scale)
    return [np.where(whole, one, math.nan) for one in (_over(value), *_kept(low, high, EQUAL))]


def _whole(value: Floats, draws: Floats, scale: Floats) -> npt.NDArray[np.bool_]:
    """Where the last quantity is positive in nearly all draws, so that there can be shares of it; [tables, 1]."""
    told = (draws[:, -1:] <= EQUAL * scale[..., None]).mean(axis=-1) <= _NO_WHOLE
    return np.asarray(told & (value[:, -1:] > EQUAL * scale))


def _over(value: Floats) -> Floats:
    """Every quantity over the last one."""
    whole = value[:, -1:]
    return np.divide(value, whole, out=np.full_like(value, math.nan), where=whole != 0.0)


def pivots(mean: Floats, df: Floats) -> Floats:
    """Draws of expected mean squares given the mean squares, [tables, terms, draws]."""
    orders = _orders(mean.shape[1])
    grid = coarse(df)
    drawn = np.array(
        [[_chi_squares(float(one))[order] for one, order in zip(row, orders, strict=True)] for row in grid]
    )
    return np.asarray((mean * grid)[..., None] / drawn)


def coarse(df: Floats) -> Floats:
    """Rounded down to 8 binary digits (1 % at most), so that few tables of quantiles are needed; exact up to 256."""
    mantissa, exponent = np.frexp(df)
    return np.ldexp(np.floor(mantissa * 256.0) / 256.0, exponent)


@lru_cache(maxsize=4096)
def _chi_squares(df: float) -> Floats:
    """Chi-square quantiles at evenly spread probabilities: a sample whose margin is exact (Latin hypercube)."""
    from scipy.special import gammaincinv

    found: Floats = 2.0 * gammaincinv(df / 2.0, (np.arange(DRAWS) + 0.5) / DRAWS)
    return found


@lru_cache(maxsize=64)
def _orders(count: int) -> list[npt.NDArray[np.int64]]:
    generator = np.random.Generator(np.random.PCG64(SEED))
    return [generator.permutation(DRAWS) for _ in range(count)]


def _kept(low: Floats, high: Floats, least: Floats | float) -> tuple[Floats, Floats]:
    """The bounds; NaN where they are not further apart than `least`."""
    some = high - low > least
    return np.where(some, low, math.nan), np.where(some, high, math.nan)
