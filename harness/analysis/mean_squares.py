"""Mean squares of a fixed effect's scores over the random axes training, prompt and decode (nested in prompt).

A study's array [regimes, settings, training, prompts, levels] is split into orthogonal parts by its fixed axes: the
mean over both, what a regime adds, what a setting adds, what only the pair adds. Each part is a table with random axes
for every fixed level, and its mean squares, averaged over the fixed levels, estimate variance components of the finite
population of regimes and settings: they add up to the variance of one value drawn from the grid (Cornfield and Tukey
1956, Annals of Mathematical Statistics 27:907; Searle, Casella and McCulloch 1992, Variance Components, chapter 4).

Degrees of freedom are effective ones (Satterthwaite 1946, Biometrics Bulletin 2:110): the nominal ones hold only where
all levels vary alike and independently of one another, which texts of k = 1 and of k = all do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Fixed = tuple[int, ...]

# In place of fixed axes: all pairs of a regime and a setting at once, not taken apart.
EVERY: Fixed = (-1,)
# Of fewer units than the first their spread says too little, so normal draws are assumed. Of fewer than the second it
# says little of draws with a long tail, so the fewer degrees of freedom of both ways count.
FEWEST_UNITS = 20
MANY_UNITS = 100


@dataclass(frozen=True)
class MeanSquare:
    """A mean square, averaged over the fixed levels, and its degrees of freedom."""

    value: float
    df: float


@dataclass(frozen=True)
class Part:
    """One fixed part of the array.

    Attributes:
        axes: the fixed axes in it: (), (0,), (1,) or (0, 1).
        freedom: degrees of freedom of the fixed levels.
        means: the part's mean of every fixed level, shape (fixed levels,); their mean is 0 where `axes` is not empty.
        scores: shape (fixed levels, training, prompts, levels).
        squares: by random set: `T`, `P`, `TP`, `D` (levels within prompts), `TD`; those that the axes allow.
    """

    axes: Fixed
    freedom: int
    means: Floats
    scores: Floats
    squares: dict[str, MeanSquare]


def parts(values: Floats) -> Iterator[Part]:
    """The fixed parts of an array [regimes, settings, training, prompts, levels] without NaN, the mean first.

    Parts of a fixed axis with one level are left out.
    """
    for axes in ((), (0,), (1,), (0, 1)):
        if all(values.shape[axis] > 1 for axis in axes):
            scores = projected(values, axes)
            freedom = int(np.prod([values.shape[axis] - 1 for axis in axes]))
            yield Part(axes, freedom, scores.mean(axis=(1, 2, 3)), scores, mean_squares(scores, freedom))


def every(values: Floats, decode_axis: int) -> Part:
    """All fixed levels at once: mean squares averaged over them, for sums over the parts.

    The parts' mean squares are not independent of one another where levels share noise and vary by different amounts;
    these have their degrees of freedom from all levels together. `W` is the variance of decode levels within all else.

    Args:
        values: [regimes, settings, training, prompts, levels] without NaN.
        decode_axis: 4, or 3 where decode levels stand in the place of the prompts.
    """
    scores = values.reshape(-1, *values.shape[2:])
    squares = mean_squares(scores, len(scores))
    runs = scores.reshape(-1, *scores.shape[2:])
    if decode_axis == 3:
        effect = runs - runs.mean(axis=1, keepdims=True)
        squares["W"] = _of_units(effect, runs.shape[1] - 1, 1, len(runs))
    elif runs.shape[2] > 1:
        effect = runs - runs.mean(axis=2, keepdims=True)
        squares["W"] = _of_units(effect, runs.shape[1], runs.shape[2] - 1, len(runs))
    return Part(EVERY, len(scores), scores.mean(axis=(1, 2, 3)), scores, squares)


def projected(values: Floats, axes: Fixed) -> Floats:
    """The part of these fixed axes, shape (their levels, training, prompts, levels)."""
    part = values
    for axis in (0, 1):
        mean = part.mean(axis=axis, keepdims=True)
        part = part - mean if axis in axes else mean
    return part.reshape(-1, *values.shape[2:])


def mean_squares(scores: Floats, freedom: int = 1) -> dict[str, MeanSquare]:
    """Mean squares of scores [fixed levels, training, prompts, levels], by random set; see `Part.squares`.

    Args:
        scores: of one fixed part, without NaN.
        freedom: degrees of freedom of the fixed levels.
    """
    _, runs, prompts, draws = scores.shape
    cell = scores.mean(axis=3)
    run, prompt = cell.mean(axis=2), cell.mean(axis=1)
    mean = run.mean(axis=1)
    found = {}
    if runs > 1:
        effect = (run - mean[:, None]) * np.sqrt(prompts * draws)
        found["T"] = _of_few(effect[:, :, None], runs - 1, 1, freedom)
    if prompts > 1:
        effect = (prompt - mean[:, None]) * np.sqrt(runs * draws)
        found["P"] = _of_units(effect[:, :, None], prompts - 1, 1, freedom)
    if runs > 1 and prompts > 1:
        both = (cell - run[:, :, None] - prompt[:, None, :] + mean[:, None, None]) * np.sqrt(draws)
        found["TP"] = _of_units(both.transpose(0, 2, 1), prompts - 1, runs - 1, freedom)
    if draws > 1:
        found |= _within(scores - cell[..., None], freedom)
    return found


def _within(residual: Floats, freedom: int) -> dict[str, MeanSquare]:
    """Mean squares of decode levels within prompts: common to all runs (`D`), and a run's own (`TD`)."""
    levels, runs, prompts, draws = residual.shape
    common = residual.mean(axis=1)
    found = {"D": _of_units(common * np.sqrt(runs), prompts, draws - 1, freedom)}
    if runs > 1:
        own = (residual - common[:, None]).transpose(0, 2, 1, 3).reshape(levels, prompts, runs * draws)
        found["TD"] = _of_units(own, prompts, (runs - 1) * (draws - 1), freedom)
    return found


def _of_units(effect: Floats, df: int, each: int, freedom: int) -> MeanSquare:
    """Of effects [fixed levels, units, a unit's own]: effective df from the spread of the units' sums of squares.

    Args:
        effect: scaled so that its squares are those of single values.
        df: of the units.
        each: df of one unit at one fixed level.
        freedom: df of the fixed levels.
    """
    units = effect.shape[1]
    if units < FEWEST_UNITS:
        return _of_few(effect, df, each, freedom)
    sums = np.square(effect).sum(axis=(0, 2))
    nominal = float(df * each * freedom)
    value = float(sums.sum()) / (df * each * effect.shape[0])
    variance = float(sums.var(ddof=1))
    found = 2.0 * units * float(sums.mean()) ** 2 / variance if variance > 0.0 else nominal
    if units < MANY_UNITS:
        nominal = _of_few(effect, df, each, freedom).df
    return MeanSquare(value, min(found, nominal))


def _of_few(effect: Floats, df: int, each: int, freedom: int) -> MeanSquare:
    """As `_of_units`, of few units: normal effects, whose covariance over all but the units may be anything."""
    value = float(np.square(effect).sum()) / (df * each * effect.shape[0])
    return MeanSquare(value, df * _sphericity(effect, df, each * freedom))


def _sphericity(effect: Floats, df: int, freedom: int) -> float:
    """tr(C)^2 / tr(C^2) of the covariance C of one unit's effects, from 1 to `freedom`.

    Both traces by their unbiased estimates from the sample covariance of normal effects (Himeno and Yamada 2014,
    Journal of Multivariate Analysis 130:27); with Box's correction of the degrees of freedom (1954, Annals of
    Mathematical Statistics 25:290) it is the one of Huynh and Feldt (1976, Journal of Educational Statistics 1:69).
    """
    if freedom <= 1 or effect.shape[1] < 2:
        return float(freedom)
    if df < 2:
        return 1.0
    gram = np.einsum("iua,iva->uv", effect, effect) / df
    whole, square = float(np.trace(gram)) ** 2, float(np.square(gram).sum())
    spread = square - whole / df
    ratio = ((1.0 + 1.0 / df) * whole - 2.0 / df * square) / spread if spread > 0.0 else math.inf
    return float(min(max(ratio, 1.0), freedom))
