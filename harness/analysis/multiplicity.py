"""Many tests at once (Holm), and the sign-flip test with the smallest p that it could give."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FEWEST_FLIPPED = 8  # with fewer pairs no p below .01 exists: the test would only look like one
MOST_EXACT = 14
DRAWS = 9_999
SEED = 19350914  # a constant, so that a report is the same whenever it is built


def holm(p: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Holm's adjusted p and the factor of each (1979, Scandinavian Journal of Statistics 6:65).

    The i-th smallest of m is multiplied by m - i + 1, its factor, and none is below the one before it. It holds the
    probability of any false rejection, whatever the dependence. NaN (no test) is in no family and stays NaN, with
    factor 0; so the largest factor is the size of the family.
    """
    every = np.asarray(p, dtype=float)
    places = np.flatnonzero(~np.isnan(every))
    ranked = places[np.argsort(every[places], kind="stable")]
    factors, adjusted = np.zeros(len(every), dtype=np.int64), np.full_like(every, math.nan)
    factors[ranked] = np.arange(len(ranked), 0, -1)
    adjusted[ranked] = np.minimum(np.maximum.accumulate(every[ranked] * factors[ranked]), 1.0)
    return adjusted, factors


def smallest_sign_flip_p(pairs: int) -> float:
    """The smallest two-sided p that flipping the signs of so many paired differences can reach: 2 / 2^pairs."""
    return min(1.0, 2.0 ** (1 - pairs)) if pairs > 0 else math.nan


def sign_flip(differences: npt.ArrayLike) -> tuple[float, float]:
    """Two-sided p of the sign-flip test of paired differences, and the smallest p that so many pairs can give.

    If signs are by chance, every flip of signs is as likely as the signs seen: p is the share of flips whose sum is as
    far from 0 (Fisher 1935, The Design of Experiments, chapter 3). Exact up to 14 pairs; beyond, over 9,999 drawn flips
    and the one seen. NaN with fewer than 8 pairs.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < FEWEST_FLIPPED:
        return math.nan, math.nan
    signs = _signs(len(values))
    sums = np.abs((signs * values).sum(axis=1))
    # The same sum in another order may differ in its last bits.
    as_far = int((sums >= abs(values.sum()) - 1e-12 * np.abs(values).sum()).sum())
    if len(values) <= MOST_EXACT:
        return as_far / len(signs), 1.0 / len(signs)
    return (1.0 + as_far) / (1.0 + DRAWS), 1.0 / (1.0 + DRAWS)


@lru_cache(maxsize=16)
def _signs(pairs: int) -> Floats:
    """Flips [flips, pairs]: all with the first sign kept (a flip and its mirror image are as far), or drawn ones."""
    if pairs > MOST_EXACT:
        generator = np.random.Generator(np.random.PCG64([SEED, pairs]))
        return np.asarray(1.0 - 2.0 * generator.integers(0, 2, (DRAWS, pairs)), dtype=float)
    numbers = np.arange(2 ** (pairs - 1))[:, None]
    return np.asarray(1.0 - 2.0 * ((numbers >> np.arange(pairs)) & 1), dtype=float)
