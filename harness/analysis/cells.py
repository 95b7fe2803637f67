"""The table `cells`: what became of every cell of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import CELLS
from harness.analysis.order import check_regimes, ordered, require
from harness.analysis.settings import HUMAN, SETTING, filters_of

ORDER = ["kind", "task", "model", "regime", "training_replicate", *SETTING, "inference_replicate", "uid"]
COLUMNS = ["cell", "status", "reason", "uid", *ORDER[:-1]]


def cells_table(cells: pd.DataFrame, regimes: Sequence[str]) -> pd.DataFrame:
    """Every cell with a name that a person reads, its status, reason, uid and factors; no volatile column.

    Raises:
        ValueError: a column is missing, or a regime is not in the grid.
    """
    require(cells, "cells", CELLS)
    check_regimes(cells, "cells", regimes)
    named = ordered(cells, ORDER, regimes)
    named["cell"] = [_name(row) for row in named.to_dict("records")]
    return named[COLUMNS]


def _name(row: dict[Any, Any]) -> str:
    """For example `e2e gpt2-mini none r0 k=5 T=1.0 i2`, or `... r0 human i2`."""
    parts = [str(row[factor]) for factor in ("task", "model", "regime") if not pd.isna(row[factor]) and row[factor]]
    parts += _numbered(row, "training_replicate", "r")
    if not pd.isna(row["top_k"]):
        warm = [f"k={row['top_k']}", f"T={row['temperature']}", *filters_of(row["top_p"], row["min_p"])]
        parts += [HUMAN] if row["top_k"] == HUMAN else warm
    parts += _numbered(row, "inference_replicate", "i")
    return " ".join(parts) if row["kind"] in ("training", "generation") else " ".join([str(row["kind"]), *parts])


def _numbered(row: dict[Any, Any], factor: str, letter: str) -> list[str]:
    return [] if pd.isna(row[factor]) else [f"{letter}{row[factor]}"]
