"""Arms: the cells that one row of a report summarises, and what became of those that gave no number."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.analysis.order import check_regimes, require
from harness.analysis.settings import SETTING

TRAINING_ARM = ["task", "model", "regime"]
GENERATION_ARM = [*TRAINING_ARM, *SETTING]
FAILED = ("diverged", "error")
UNFINISHED = ("missing", "skipped")

CELLS = [
    "uid",
    "kind",
    "task",
    "model",
    "regime",
    "training_replicate",
    *SETTING,
    "inference_replicate",
    "status",
    "reason",
]


def cells_of(cells: pd.DataFrame, kind: str, regimes: Sequence[str]) -> pd.DataFrame:
    """The cells of one kind, without identical-seed repeats where the table has that column.

    Raises:
        ValueError: a column is missing, or a regime is not in the grid.
    """
    require(cells, "cells", CELLS)
    # A combination that has no cell (a BERT model with a language task) is no arm; table `cells` says why.
    chosen = cells[(cells["kind"] == kind) & ~((cells["status"] == "skipped") & (cells["uid"] == ""))]
    if "repeat" in chosen.columns:
        chosen = chosen[chosen["repeat"].fillna(0) == 0]
    check_regimes(chosen, "cells", regimes)
    return chosen


def fates(cells: pd.DataFrame, arm: Sequence[str]) -> pd.DataFrame:
    """One row per arm with the numbers of its cells: `failed` (diverged + error), `diverged`, `done`, `missing`.

    `missing` counts what was never run or was skipped, so that a report on half a grid says that it is one. Replicates
    that are one cell by construction count once.
    """
    cells = cells[(cells["uid"] == "") | ~cells.duplicated([*arm, "uid"])]
    counted = cells[list(arm)].copy()
    counted["failed"] = cells["status"].isin(FAILED).astype(int)
    counted["diverged"] = (cells["status"] == "diverged").astype(int)
    counted["done"] = (cells["status"] == "done").astype(int)
    counted["missing"] = cells["status"].isin(UNFINISHED).astype(int)
    return counted.groupby(list(arm), dropna=False, sort=True, as_index=False).sum()
