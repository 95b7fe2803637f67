"""What the claims are computed from: of one task and model, a metric of an arm as one number per training replicate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness.analysis.arms import FAILED
from harness.analysis.blocks import Block, Floats, Setting
from harness.analysis.settings import GREEDY
from harness.analysis.study import Study
from harness.analysis.verdicts import Sample
from harness.regimes.kinds import NONE


class Curve(NamedTuple):
    """Validation losses of one run, by ascending optimiser step, and the step that it ended at."""

    steps: list[float]
    losses: list[float]
    end: float


@dataclass(frozen=True)
class Problem:
    """One task and model of a study.

    Attributes:
        kinds: kind of every regime (harness.regimes.kinds), empty where the store does not tell.
    """

    study: Study
    task: str
    model: str
    kinds: Mapping[str, str]

    @cached_property
    def _runs(self) -> dict[tuple[str, str], Block]:
        return {(one.split, one.metric): one for one in self.study.runs if self._mine(one)}

    @cached_property
    def _texts(self) -> dict[str, Block]:
        return {one.metric: one for one in self.study.texts if self._mine(one)}

    def _mine(self, block: Block) -> bool:
        return (block.task, block.model) == (self.task, self.model)

    def arms(self, kinds: Sequence[str]) -> list[str]:
        """The regimes of these kinds that have a finished run here, in the order of the grid."""
        ran = {regime for block in self._runs.values() for regime in block.regimes}
        return [name for name in self.study.regimes if name in ran and self.kinds.get(name) in kinds]

    def without_dropout(self) -> str:
        """The arm of kind none; an empty string where there is none."""
        return next(iter(self.arms((NONE,))), "")

    def metrics(self, split: str) -> list[str]:
        """The metrics of a split, in the order of the blocks."""
        return [metric for where, metric in self._runs if where == split]

    def splits_of(self, metric: str) -> list[str]:
        """The splits that have a metric."""
        return [split for split, name in self._runs if name == metric]

    def score(self, split: str, metric: str, regime: str) -> pd.Series:
        """A training metric by replicate; NaN where that run has no value, empty where no run of the arm has."""
        block = self._runs.get((split, metric))
        if block is None or regime not in block.regimes:
            return pd.Series(dtype=float)
        return pd.Series(block.values[block.regimes.index(regime), 0, :, 0, 0], index=list(block.replicates))

    def uids(self, regime: str) -> dict[int, str]:
        """The training cell of every replicate that has one."""
        block = next(one for one in self._runs.values() if regime in one.regimes)
        row = block.cells[block.regimes.index(regime)]
        return {place: uid for place, uid in zip(block.replicates, row, strict=True) if uid}

    def sample(self, regimes: Sequence[str]) -> Sample:
        """The replicates that all these arms have; those that are one cell in every arm count once.

        Raises:
            ValueError: a replicate has other levels of the training roles in another arm.
        """
        block = next(one for one in self._runs.values() if set(regimes) <= set(one.regimes))
        rows = [block.regimes.index(regime) for regime in regimes]
        seen: set[tuple[str, ...]] = set()
        levels = {}
        for place, replicate in enumerate(block.replicates):
            cells = tuple(block.cells[row][place] for row in rows)
            if not all(cells) or cells in seen:
                continue
            seen.add(cells)
            found = {block.roles[row][place] for row in rows}
            if len(found) > 1:
                raise ValueError(f"{block.name}: replicate {replicate} stands at different levels in its arms")
            levels[replicate] = found.pop() or ()
        return Sample(block.design, levels)

    def same_runs(self, one: str, other: str) -> bool:
        """Whether two arms are the same cells by construction."""
        mine, theirs = self.uids(one), self.uids(other)
        shared = mine.keys() & theirs.keys()
        return bool(shared) and all(mine[place] == theirs[place] for place in shared)

    def across_environments(self, regimes: Sequence[str]) -> int:
        """Replicates whose runs in these arms were computed in different environments."""
        block = next(one for one in self._runs.values() if set(regimes) <= set(one.regimes))
        rows = [block.environments[block.regimes.index(regime)] for regime in regimes]
        return sum(len({name for name in column if name}) > 1 for column in zip(*rows, strict=True))

    def lost(self, regimes: Sequence[str]) -> int:
        """Replicates of this task and model that one of these arms has no finished run of."""
        block = next(one for one in self._runs.values() if set(regimes) <= set(one.regimes))
        rows = [block.cells[block.regimes.index(regime)] for regime in regimes]
        return sum(not all(column) for column in zip(*rows, strict=True))

    def failed_share(self, regimes: Sequence[str]) -> float:
        """The largest share, over these arms, of runs that diverged or failed among those that were tried."""
        cells = self.study.tables["cells"]
        mine = cells[(cells["kind"] == "training") & (cells["task"] == self.task) & (cells["model"] == self.model)]
        tried = mine[mine["status"].isin((*FAILED, "done")) & mine["regime"].isin(regimes)]
        return float(tried["status"].isin(FAILED).groupby(tried["regime"]).mean().max()) if len(tried) else 0.0

    def settings(self, metric: str, regimes: Sequence[str]) -> list[Setting]:
        """The settings at which all these arms have texts, of the temperature and filters with most k; k ascending.

        Temperature 1 without other filters wins a tie, as it stands first. Greedy texts know neither temperature nor
        filters: they belong to all, and stand first.
        """
        block = self._texts.get(metric)
        if block is None or not set(regimes) <= set(block.regimes):
            return []
        rows = [block.regimes.index(regime) for regime in regimes]
        greedy: list[Setting] = []
        families: dict[Setting, list[Setting]] = {}
        for place, setting in enumerate(block.settings):
            if all(np.isfinite(block.values[row, place]).any() for row in rows):
                (greedy if setting[0] == GREEDY else families.setdefault(setting[1:], [])).append(setting)
        first = sorted(families, key=lambda rest: (-len(families[rest]), rest != (1.0, 1.0, 0.0)))
        return [*greedy, *(families[first[0]] if first else [])]

    def sampled(self) -> tuple[set[str], set[Setting]]:
        """The training cells that texts were sampled from, and the settings that they were sampled at."""
        blocks = self._texts.values()
        uids = {uid for block in blocks for row in block.cells for uid in row if uid}
        return uids, {setting for block in blocks for setting in block.settings}

    def text_means(self, metric: str, regime: str, setting: Setting) -> pd.DataFrame:
        """A text metric of an arm at a setting, [replicates, prompts]: means over decode levels, NaN without any."""
        block = self._texts[metric]
        values = block.values[block.regimes.index(regime), block.settings.index(setting)]
        return pd.DataFrame(_over_levels(values), index=list(block.replicates))

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The learning curve of every training cell of this task and model."""
        history = self.study.tables.get("history")
        if history is None or history.empty:
            return {}
        mine = {uid for block in self._runs.values() for row in block.cells for uid in row if uid}
        own = history[history["uid"].isin(mine)]
        ends = own.groupby("uid")["step"].max()
        losses = own[own["metric"] == "validation.loss"].sort_values(["uid", "step"], kind="stable")
        return {
            str(uid): Curve(list(rows["step"].astype(float)), list(rows["value"].astype(float)), float(ends[uid]))
            for uid, rows in losses.groupby("uid", sort=False)
        }


def _over_levels(values: Floats) -> Floats:
    """[replicates, prompts] out of [replicates, prompts, levels], without what is undefined; NaN where all is."""
    defined = np.isfinite(values)
    total, count = np.zeros(values.shape[:2]), defined.sum(axis=2)
    for level in range(values.shape[2]):  # one after the other: the same bits on every machine
        total = total + np.where(defined[..., level], values[..., level], 0.0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
