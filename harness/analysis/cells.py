"""The table `cells`: what became of every cell of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import CELLS
from harness.analysis.order import check_regimes, ordered, require

ORDER = ["kind", "task", "model", "regime", "training_replicate", "top_k", "temperature", "inference_replicate", "uid"]
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
    """For example `sst2 bert-tiny none r0 k=5 T=1.0 i2`."""
    parts = [str(row[factor]) for factor in ("task", "model", "regime") if not pd.isna(row[factor]) and row[factor]]
    for factor, form in (
        ("training_replicate", "r{}"),
        ("top_k", "k={}"),
        ("temperature", "T={}"),
        ("inference_replicate", "i{}"),
    ):
        if not pd.isna(row[factor]):
            parts.append(form.format(row[factor]))
    return " ".join(parts) if row["kind"] in ("training", "generation") else " ".join([str(row["kind"]), *parts])
