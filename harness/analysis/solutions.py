"""Components of arms in numbers: arms of one shape are solved together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.arm_tables import Arm, too_few
from harness.analysis.crossed import EQUAL, Floats, Squares, squares
from harness.analysis.heads import BOTH, INFERENCE, TOTAL, heads, per_score
from harness.analysis.pivots import Estimates, estimates
from harness.analysis.unbalanced import unweighted_means

MOMENTS, UNWEIGHTED, REML = "moments", "unweighted means", "REML"


@dataclass(frozen=True)
class Number:
    """A variance, its interval, Satterthwaite degrees of freedom, and its share of the total; NaN: unknown."""

    variance: float = math.nan
    low: float = math.nan
    high: float = math.nan
    df: float = math.nan
    share: float = math.nan
    share_low: float = math.nan
    share_high: float = math.nan

    def without_interval(self) -> Number:
        """Where the estimate is biased."""
        return Number(self.variance, share=self.share)

    def without_share(self) -> Number:
        """Where the whole is unknown."""
        return replace(self, share=math.nan, share_low=math.nan, share_high=math.nan)


@dataclass(frozen=True)
class Solution:
    """What the mean squares of an arm say: by quantity per unit (text, prompt, set, example) and per score."""

    unit: dict[str, Number]
    score: dict[str, Number]
    method: str


def solutions(arms: Sequence[Arm]) -> list[Solution]:
    """The solution of every arm; an arm without an axis of two levels has none of its quantities."""
    found: dict[int, Solution] = {}
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, arm in enumerate(arms):
        if too_few(arm):
            found[place] = Solution({}, {}, "")
        elif arm.unbalanced:
            found[place] = _unbalanced(arm)
        else:
            alike[arm.values.shape, arm.errors is None].append(place)
    for places in alike.values():
        found |= dict(zip(places, _balanced([arms[place] for place in places]), strict=True))
    return [found[place] for place in range(len(arms))]


def _balanced(arms: Sequence[Arm]) -> list[Solution]:
    """Arms whose tables have one shape."""
    layout = arms[0].layout
    if not layout.terms():
        return [Solution({}, {}, MOMENTS)] * len(arms)
    sizes = [size for size in arms[0].values.shape if size > 1]
    found = squares(np.stack([arm.values for arm in arms]).reshape(len(arms), *sizes), layout)
    rows = heads(layout, found.weights)
    if arms[0].errors is not None:
        found, rows = _with_errors(found, rows, np.stack([arm.errors for arm in arms if arm.errors is not None]))
    return _read(found, rows, arms[0].prompts, MOMENTS)


def _with_errors(found: Squares, rows: dict[str, Floats], errors: Floats) -> tuple[Squares, dict[str, Floats]]:
    """The mean squared standard error as one more mean square: the inference die of a metric over replicates.

    It is taken out of training x prompt; what of it the runs share (their noise is keyed alike) stays in prompt.
    """
    by_prompt = np.moveaxis(errors[..., 0], -1, 1).reshape(len(errors), errors.shape[-2], -1).mean(axis=2)
    mean = np.append(found.mean, by_prompt.mean(axis=1)[:, None], axis=1)
    df = np.append(found.df, _df(by_prompt)[:, None], axis=1)
    mine = np.zeros(mean.shape[1])
    mine[-1] = 1.0
    wider = {name: np.append(row, 0.0) for name, row in rows.items()}
    total = wider.pop(TOTAL)
    if BOTH in wider:
        wider[BOTH] = wider[BOTH] - mine
    return Squares(mean, df, found.weights), {**wider, INFERENCE: mine, TOTAL: total}


def _df(parts: Floats) -> Floats:
    """Degrees of freedom of a mean over prompts [tables, prompts]: 2 mean^2 / its variance."""
    mean = parts.mean(axis=1)
    if parts.shape[1] < 2:
        return np.full_like(mean, parts.shape[1])
    variance = parts.var(axis=1, ddof=1) / parts.shape[1]
    return np.asarray(np.divide(2.0 * mean**2, variance, out=np.full_like(mean, parts.shape[1]), where=variance > 0.0))


def _unbalanced(arm: Arm) -> Solution:
    found, rows = unweighted_means(arm.values if arm.runs > 1 else arm.values[0])
    return _read(found, rows, arm.prompts, UNWEIGHTED)[0]


def _read(found: Squares, rows: dict[str, Floats], prompts: int, method: str) -> list[Solution]:
    unit, score = (
        estimates(found.mean, found.df, np.stack(list(each.values()))) for each in (rows, per_score(rows, prompts))
    )
    names = list(rows)
    return [Solution(_numbers(unit, at, names), _numbers(score, at, names), method) for at in range(len(found.mean))]


def _numbers(several: Estimates, table: int, names: Sequence[str]) -> dict[str, Number]:
    intervals = (several.value, several.low, several.high, several.df)
    columns = [*intervals, several.share, several.share_low, several.share_high]
    picked = np.stack([column[table] for column in columns], axis=1).tolist()
    return {name: Number(*row) for name, row in zip(names, picked, strict=True)}


def all_equal(arm: Arm) -> bool:
    """All values are equal, to 12 digits."""
    return bool(np.nanmax(arm.values) - np.nanmin(arm.values) <= EQUAL * np.nanmax(np.abs(arm.values)))
