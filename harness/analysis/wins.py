"""P(better): how often one arm beats another, and how Bouthillier et al. read it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.directions import HIGHER, LOWER
from harness.analysis.intervals import share_interval

FEWEST_READ = 10  # below, the interval is too wide for the rule to say anything
MEANINGFUL = 0.75


@dataclass(frozen=True)
class Wins:
    """Share of the pairs in which the first is better, its exact 95 % interval, and the reading; NaN: unknown."""

    share: float = math.nan
    low: float = math.nan
    high: float = math.nan
    reading: str = ""


def win_columns(mine: Sequence[float], theirs: Sequence[float], way: str, design: str) -> dict[str, Any]:
    """`wins` as columns of a table.

    Args:
        mine, theirs: values of the pairs.
        way: the metric's direction; where it has none, larger counts as better.
        design: of the pairs; those of a crossed or isolated design are not independent, and have none.
    """
    found = Wins()
    if design == "joint" and len(mine):
        gains = np.asarray(mine) - np.asarray(theirs)
        scale = max(abs(value) for value in [*mine, *theirs])
        found = wins(-gains if way == LOWER else gains, scale, directed=way in (HIGHER, LOWER))
    return {"better": found.share, "better_low": found.low, "better_high": found.high, "reading": found.reading}


def wins(gains: npt.ArrayLike, scale: float, *, directed: bool) -> Wins:
    """P(better) of independent pairs.

    Ties (to 12 digits) count half. The interval is Clopper and Pearson's (1934, Biometrika 26:404); with half a win
    left over, its lower bound is that of one win less and its upper bound that of one more.

    Args:
        gains: of each pair, positive where the first is better.
        scale: size of the values, which says what a tie is.
        directed: whether the metric has a direction; without one there is no reading.
    """
    values = np.asarray(gains, dtype=float)
    if not len(values):
        return Wins()
    tied = np.abs(values) <= 1e-12 * abs(scale)
    won = float(((values > 0) & ~tied).sum() + tied.sum() / 2.0)
    low, high = share_interval(math.floor(won), len(values))[0], share_interval(math.ceil(won), len(values))[1]
    return Wins(won / len(values), low, high, reading(low, high) if directed and len(values) >= FEWEST_READ else "")


def reading(low: float, high: float) -> str:
    """The rule of Bouthillier et al. (2021, MLSys, arXiv 2103.03098) for the interval of P(better), both ways round.

    Significant: it lies above .5. Meaningful: it reaches beyond .75.
    """
    if high < 0.5:
        return f"worse: {reading(1.0 - high, 1.0 - low)}"
    if low <= 0.5:
        return "not significant"
    return "significant and meaningful" if high > MEANINGFUL else "significant, not meaningful"
