"""Fixed effects: their variance over the grid's levels, and the largest contrast, with intervals.

The error of a mean over random training replicates R and random prompts P comes from the matching interactions:
(MS_T + MS_P - MS_TP) / (R P S) of the effect's own scores, with the degrees of freedom of Satterthwaite (1946).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.mean_squares import MeanSquare, Part
from harness.analysis.means import grand_means

Floats = NDArray[np.float64]
TAIL = 0.025
# Quantiles of the error's pivot that an interval is averaged over.
PIVOTS = 64


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; NaN: unknown. `df` are those of its error."""

    value: float
    low: float = math.nan
    high: float = math.nan
    df: float = math.nan


def mean_error(scores: Floats) -> tuple[float, float]:
    """Variance of the grand mean of scores [training, prompts, levels], and its degrees of freedom.

    Where the mean squares contradict each other (the interaction is larger than a factor's own) the larger of the two
    factors' stands alone: too wide rather than too narrow. NaN where one axis has one level and the other too.
    """
    cell = scores.mean(axis=2)
    runs, prompts = cell.shape
    if runs < 2:
        return math.nan, math.nan
    run, prompt, mean = cell.mean(axis=1), cell.mean(axis=0), cell.mean()
    t = float(np.square(run - mean).sum()) * prompts / (runs - 1)
    if prompts < 2:
        return t / runs, float(runs - 1)
    p = float(np.square(prompt - mean).sum()) * runs / (prompts - 1)
    both = float(np.square(cell - run[:, None] - prompt + mean).sum()) / ((runs - 1) * (prompts - 1))
    if both > min(t, p):
        return max(t, p) / cell.size, float(runs - 1 if t >= p else prompts - 1)
    spread = t**2 / (runs - 1) + p**2 / (prompts - 1) + both**2 / ((runs - 1) * (prompts - 1))
    total = t + p - both
    return total / cell.size, total**2 / spread if spread > 0.0 else math.nan


def effect_variance(part: Part) -> Estimate:
    """The finite-population variance of a fixed effect: the mean of its squared true level means.

    The error's share of the observed squares is taken out, so that a grid without any effect gives 0 on average and
    often less. Interval: the observed sum of squares is v times a noncentral chi-square, v being the error along the
    observed effect; its noncentrality is inverted with v replaced by its pivot (Weerahandi 1993). With two levels and
    a clear effect that is Student's t. A bound is 0 where no effect is compatible with the data.
    """
    levels, runs, prompts, _ = part.scores.shape
    if runs < 2:
        return Estimate(math.nan)
    error = _error(part)
    observed = float(np.square(part.means).sum())
    value = observed / levels - error.value
    if observed <= 0.0:
        return Estimate(value)
    along, df = mean_error(np.einsum("i,itpd->tpd", part.means / math.sqrt(observed), part.scores))
    if not along > 1e-12 * observed:
        return Estimate(value)
    low, high = _noncentral(observed, levels * error.value, along, df, part.freedom)
    if _by_chance(part, observed / levels, error, runs, prompts):
        low = 0.0
    return Estimate(value, low / levels, high / levels, df)


def _error(part: Part) -> MeanSquare:
    """Variance of a level's mean, averaged over the levels, with Satterthwaite's degrees of freedom."""
    squares = part.squares
    weights = {"T": 1.0, "P": 1.0, "TP": -1.0}
    terms = [(weights[name] * squares[name].value, squares[name].df) for name in weights if name in squares]
    total = math.fsum(value for value, _ in terms)
    spread = math.fsum(value**2 / df for value, df in terms)
    return MeanSquare(total / part.scores[0].size, total**2 / spread if spread > 0.0 else math.nan)


def _by_chance(part: Part, observed: float, error: MeanSquare, runs: int, prompts: int) -> bool:
    """Whether errors alone give so much: the F test with Box's degrees of freedom, at the lower bound's 2.5 %."""
    from scipy.stats import f

    if not error.value > 0.0:
        return True
    units = {"T": runs - 1, "P": prompts - 1}
    larger = max((name for name in units if name in part.squares), key=lambda name: part.squares[name].value)
    spread = min(max(part.squares[larger].df / units[larger], 1.0), part.freedom)
    return float(f.sf(observed / error.value, spread, error.df)) > TAIL


def _noncentral(observed: float, error: float, along: float, df: float, most: int) -> tuple[float, float]:
    """The interval of the sum of squared true means.

    Args:
        observed: the sum of the squared observed means.
        error: what the errors of all levels add to it on average.
        along: variance of the error along the observed effect, with `df` degrees of freedom.
        most: df of the fixed levels.
    """
    from scipy.optimize import brentq
    from scipy.stats import chi2

    pivots = along * df / chi2.ppf((np.arange(PIVOTS) + 0.5) / PIVOTS, df)
    freedom = np.clip(error / pivots, 1.0, most)

    def below(truth: float, seen: float = observed) -> float:
        """Probability of a sum of squares as small as the one seen."""
        return float(_chi_square(seen / pivots, freedom, truth / pivots).mean())

    def solved(probability: float, seen: float) -> float:
        top = seen + along
        while below(top, seen) > probability:
            top *= 2.0
        return float(brentq(lambda truth: below(truth, seen) - probability, 0.0, top, rtol=1e-7))

    low = solved(1.0 - TAIL, observed) if below(0.0) > 1.0 - TAIL else 0.0
    # Less than the error alone would give: as wide an interval as a typical error gives, never one without width.
    seen = observed if below(0.0) > 2.0 * TAIL else max(observed, error, along)
    return low, solved(TAIL, seen)


def _chi_square(values: Floats, freedom: Floats, noncentrality: Floats) -> Floats:
    """The distribution function of the noncentral chi-square; of large values the normal one of their roots."""
    from scipy.special import chndtr, ndtr

    large = values > 1000.0
    exact = chndtr(np.where(large, 1.0, values), freedom, np.where(large, 1.0, noncentrality))
    roots = ndtr(np.sqrt(values) - np.sqrt(noncentrality + freedom - 1.0))
    return np.asarray(np.where(large, roots, exact), dtype=np.float64)


def contrast(scores: Floats, pairs: int) -> Estimate:
    """The mean of scores [training, prompts, levels] with an interval that holds for `pairs` contrasts together.

    Bonferroni, because a contrast picked after looking may be any of them, and the errors of levels that share runs
    and prompts are neither equal nor independent, which Tukey's studentised range needs (Maxwell 1980, Journal of
    Educational Statistics 5:269). No interval where nothing varies.
    """
    cell = scores.mean(axis=2)
    found = grand_means((cell if cell.shape[1] > 1 else cell[:, 0])[None], 1.0 - 2.0 * TAIL / pairs)
    return Estimate(*(float(column[0]) for column in (found.mean, found.low, found.high, found.df)))
