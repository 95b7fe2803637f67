"""Rows of single runs: which cells a figure shows, and the rows that the store has of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

ARM = ["task", "model", "regime"]


def runs(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per finished training cell and arm, with its replicate; identical-seed repeats are left out."""
    training = tables.get("training")
    if training is None or training.empty:
        return pd.DataFrame(columns=["uid", *ARM, "training_replicate"])
    chosen = training[training["repeat"] == 0]
    found = chosen[["uid", *ARM, "training_replicate"]].sort_values([*ARM, "training_replicate"], kind="stable")
    return found.drop_duplicates([*ARM, "uid"])


def rows_of(tables: Mapping[str, pd.DataFrame], name: str, cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of a store table that belong to cells, with their arm; a cell of several arms is in each."""
    table = tables.get(name)
    if table is None or table.empty:
        return pd.DataFrame(columns=[*cells.columns, "step", "site", "rate", "metric", "value"])
    once = table.drop_duplicates()
    return once.merge(cells, on="uid").sort_values([*ARM, "training_replicate", "step"], kind="stable")
