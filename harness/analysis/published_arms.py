"""The arms that a published number is about: their runs, what is missing of them, and the interval of their mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.analysis.designs import estimate, levels_of
from harness.analysis.factorial import Levels
from harness.analysis.intervals import Interval
from harness.spec.published_forms import OnTraining


@dataclass(frozen=True)
class Run:
    """One replicate's value of the metric in question."""

    uid: str
    levels: Levels
    value: float


@dataclass(frozen=True)
class Arm:
    """The runs of one arm by training replicate, what became of its other cells, and why it gives no number.

    `note`: what a reader must know of a number that there is.
    """

    design: str
    runs: dict[int, Run]
    failed: int
    missing: int
    problem: str = ""
    note: str = ""

    @property
    def once(self) -> list[Run]:
        """Each cell once, where replicates are one cell by construction."""
        return list({run.uid: run for run in self.runs.values()}.values())


def arm_of(number: OnTraining, regime: str, values: pd.DataFrame, counts: pd.DataFrame, design: str) -> Arm:
    """One arm of a published number.

    Args:
        number: which task, model, split and metric.
        regime: which arm.
        values: rows of the store's table `training`, one per replicate, split and metric.
        counts: what became of the cells of every arm (harness.analysis.arms).
        design: of the replicates.
    """
    mine = _of(values, number, regime)
    fate = _of(counts, number, regime)[["failed", "missing"]].sum()
    chosen = mine[(mine["split"] == number.split) & (mine["metric"] == number.metric)]
    problem = ""
    if len(mine) and chosen.empty:
        problem = f"the cells have no {number.split}.{number.metric}"
    elif chosen.empty:
        problem = f"{regime}: no cell is done"
    elif not chosen["value"].map(math.isfinite).all():
        problem = f"{number.split}.{number.metric} is not defined in every cell"
    runs = map(Run, chosen["uid"], levels_of(chosen), chosen["value"])
    by_replicate = dict(zip(chosen["training_replicate"].astype(int), runs, strict=True))
    return Arm(design, by_replicate, int(fate["failed"]), int(fate["missing"]), problem)


def _of(table: pd.DataFrame, number: OnTraining, regime: str) -> pd.DataFrame:
    here = (table["task"] == number.task) & (table["model"] == number.model) & (table["regime"] == regime)
    return table[here]


def interval_of(design: str, runs: Sequence[Run], *, usable: bool) -> tuple[Interval, str]:
    """Mean and interval of runs, without bounds where they are not to be used; and why the design gives none."""
    defined = [run for run in runs if math.isfinite(run.value)]
    found, lost = estimate(design, [run.levels for run in defined], [run.value for run in defined])
    return (found, lost) if usable else (Interval(found.n, found.mean, found.sd, math.nan, math.nan), "")


def few(ours: Interval) -> str:
    """Why independent runs have no interval; empty where they have one."""
    if ours.n < 2:
        return "fewer than two replicates"
    return "all our replicates are equal: no spread is known" if math.isnan(ours.low) else ""


def lost(arms: Mapping[str, Arm]) -> str:
    """What is said of arms with failed cells; empty where there is none."""
    failed = {name: arm.failed for name, arm in arms.items() if arm.failed}
    return "; ".join(f"{name}: {count} failed, what is left speaks of the survivors" for name, count in failed.items())
