"""Runs of two arms, or of one arm on two splits, matched one to one."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from harness.analysis.designs import levels_of
from harness.analysis.factorial import Levels


class Run(NamedTuple):
    """One value of one training cell."""

    uid: str
    levels: Levels
    value: float


def by_levels(here: pd.DataFrame, other: pd.DataFrame | None) -> list[tuple[Run, Run]]:
    """The runs of both sides that have the same replicate, and so the same levels of the training roles.

    Replicates that are one cell on both sides (equal identity) are one pair, not several that agree.

    Raises:
        ValueError: a replicate has other levels on the other side, or stands twice.
    """
    pairs = {(mine.uid, theirs.uid): (mine, theirs) for mine, theirs in matched(here, other, "training_replicate")}
    for mine, theirs in pairs.values():
        if mine.levels != theirs.levels:
            raise ValueError(f"cells {mine.uid} and {theirs.uid} are one replicate, but at different levels")
    return list(pairs.values())


def matched(here: pd.DataFrame, other: pd.DataFrame | None, by: str) -> list[tuple[Run, Run]]:
    """The runs of both sides, matched by the column `by`, which names a row on each side only once.

    Raises:
        ValueError: it does not.
    """
    if other is None:
        return []
    theirs = _runs(other, by)
    return [(run, theirs[name]) for name, run in _runs(here, by).items() if name in theirs]


def _runs(rows: pd.DataFrame, by: str) -> dict[Any, Run]:
    runs = dict(zip(rows[by], map(Run, rows["uid"], levels_of(rows), rows["value"]), strict=True))
    if len(runs) != len(rows):
        raise ValueError(f"several rows of one split and metric have the same {by}")
    return runs
