"""What a t test can find: the smallest difference that it resolves, by the noncentral t distribution.

The test is two-sided at 5 %, divided by the number of contrasts of its family: the first step of Holm (1979,
Scandinavian Journal of Statistics 6:65), which the clearest contrast must pass. Power 80 %.
"""

from __future__ import annotations

import math
from functools import lru_cache

from harness.analysis.intervals import t_quantile

LEVEL = 0.05
POWER = 0.8


def power(difference: float, error: float, df: float, family: int = 1) -> float:
    """Probability that a true difference is found.

    Args:
        difference: true, in the metric's unit.
        error: standard error of the estimated one.
        df: of that error.
        family: number of contrasts that are tested together.
    """
    from scipy.special import nctdtr

    threshold = t_quantile(1.0 - LEVEL / (2 * family), round(df, 6))
    noncentrality = abs(difference) / error
    found = 1.0 - float(nctdtr(df, noncentrality, threshold))
    # With the wrong sign: at most the normal tail beyond the noncentrality, 3e-7 at 5, where scipy gives up.
    return found + (float(nctdtr(df, noncentrality, -threshold)) if noncentrality < 5.0 else 0.0)


def resolvable(error: float, df: float, family: int = 1) -> float:
    """The smallest true difference that is found with probability `POWER`; NaN where the error is unknown or 0."""
    if not (error > 0.0 and df > 0.0):
        return math.nan
    return _noncentrality(round(df, 6), family) * error


@lru_cache(maxsize=4096)
def _noncentrality(df: float, family: int) -> float:
    from scipy.optimize import brentq

    top = 4.0
    while power(top, 1.0, df, family) < POWER:
        top *= 2.0
    return float(brentq(lambda one: power(one, 1.0, df, family) - POWER, 0.0, top, xtol=1e-9))
