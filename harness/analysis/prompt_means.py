"""The mean of runs over their prompts (or a split's examples), with an interval over new runs and new prompts.

A prompt counts where every run has a value of it: otherwise a difference of runs would be one of prompts, too. All
prompts that count weigh the same, however many values they have (unweighted means).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.designs import estimate
from harness.analysis.factorial import Levels, factorial
from harness.analysis.intervals import Interval, t_interval
from harness.analysis.means import grand_means

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OverPrompts:
    """A mean over runs and prompts.

    Attributes:
        interval: n is the number of runs, sd that of the runs' means.
        prompts: which prompts count [prompts].
        note: why there is no interval, or empty.
    """

    interval: Interval
    prompts: npt.NDArray[np.bool_]
    note: str


def over_prompts(design: str, levels: Sequence[Levels], values: Floats) -> OverPrompts:
    """Mean and interval of runs under their design; see harness.analysis.means.

    Where more than half of the prompts that have a value lack one in some run, what is left would be a choice: there is
    no interval, and the mean is that of the runs' own means. With one prompt the interval is over runs alone.

    Args:
        design: joint, isolated or crossed.
        levels: role levels of every run, in the order of `ROLES`; not read in a joint design.
        values: [runs, prompts], means over decode replicates; NaN: there is none. Every run has a value.

    Raises:
        ValueError: see `estimate`.
    """
    present = ~np.isnan(values)
    counts, somewhere = np.asarray(present.all(axis=0)), np.asarray(present.any(axis=0))
    known = int(somewhere.sum())
    lost = known - int(counts.sum())
    if 2 * lost > known:
        plain = t_interval([math.fsum(row[~np.isnan(row)]) / int((~np.isnan(row)).sum()) for row in values])
        note = f"{lost} of {known} prompts lack a value in some run: no interval"
        return OverPrompts(Interval(plain.n, plain.mean, plain.sd, math.nan, math.nan), somewhere, note)
    kept = values[:, counts]
    plain, note = estimate(design, levels, [math.fsum(row) / len(row) for row in kept.tolist()])
    if kept.shape[1] == 1 or plain.n < 2 or design == "isolated" or note:
        return OverPrompts(plain, counts, note)
    found = grand_means(_by_role(design, levels, kept)[None])
    low, high, df, t, p = (float(one[0]) for one in (found.low, found.high, found.df, found.t, found.p))
    return OverPrompts(replace(plain, low=low, high=high, df=df, t=t, p=p), counts, "")


def _by_role(design: str, levels: Sequence[Levels], values: Floats) -> Floats:
    """[runs, prompts] of a joint design, [levels of every role that varies, prompts] of a crossed one."""
    if design == "joint":
        return values
    places = factorial(levels, list(range(len(values))))
    assert places is not None  # else there would be a note
    arranged: Floats = values[places.values.astype(int)]
    return arranged


@dataclass(frozen=True)
class PromptTables:
    """A value of every (group of rows, prompt), sorted by both; see harness.analysis.texts.Rows."""

    group: npt.NDArray[np.integer[Any]]
    prompt: npt.NDArray[np.integer[Any]]
    value: Floats

    @classmethod
    def of(cls, cells: pd.DataFrame, column: str) -> PromptTables:
        """From what `prompt_cells` gives."""
        return cls(cells["group"].to_numpy(), cells["prompt"].to_numpy(), cells[column].to_numpy(dtype=float))

    def table(self, groups: Sequence[int]) -> Floats:
        """[groups, prompts that any of them has]; NaN where there is no value."""
        starts, ends = np.searchsorted(self.group, groups), np.searchsorted(self.group, groups, side="right")
        rows = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
        prompts = np.unique(np.concatenate([self.prompt[row] for row in rows])) if rows else np.empty(0)
        found = np.full((len(rows), len(prompts)), math.nan)
        for place, row in enumerate(rows):
            found[place, np.searchsorted(prompts, self.prompt[row])] = self.value[row]
        return found
