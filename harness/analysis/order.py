"""The order of rows in every table, and the checks that every table passes before it is read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from harness.analysis.settings import ALL, HUMAN

KINDS = ("base", "selection", "training", "generation")
SPLITS = ("train", "validation", "test")
_LAST = {ALL: sys.float_info.max, HUMAN: float("inf")}
_NUMBERS = ("temperature", "top_p", "min_p", "training_replicate", "inference_replicate")


def require(frame: pd.DataFrame, name: str, columns: Iterable[str]) -> None:
    """Refuses a table that lacks a column.

    Raises:
        ValueError: naming the table and the columns.
    """
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        raise ValueError(f"table '{name}' lacks column {', '.join(lacking)}")


def check_regimes(frame: pd.DataFrame, name: str, regimes: Sequence[str]) -> None:
    """Refuses a regime that the grid does not name: its rows would have no place in the order.

    Raises:
        ValueError: naming the table and the regimes.
    """
    strange = sorted(set(frame["regime"].dropna().astype(str)) - set(regimes))
    if strange:
        raise ValueError(f"table '{name}' has regime {', '.join(strange)}, which the grid does not name")


def top_k_rank(label: object) -> float:
    """Numeric order of top-k labels: NA and empty (-1), "1", "5", "40", then `all`, then `human`."""
    if label is None or label is pd.NA or label != label or label == "":
        return -1.0
    return _LAST[str(label)] if label in _LAST else float(str(label))


def task_rank(label: str) -> str:
    """Order of task labels: `sst2@50` before `sst2@100` before `sst2`, which is trained on everything."""
    name, _, size = label.rpartition("@")
    return f"{name}\0{int(size):012d}" if name and size.isdecimal() else f"{label}\0~"


def ordered(frame: pd.DataFrame, by: Sequence[str], regimes: Sequence[str]) -> pd.DataFrame:
    """The rows sorted by `by`: regimes as in the grid, top-k as numbers, `loss` first, other names by alphabet."""
    keys = pd.DataFrame({column: [_rank(column, value, regimes) for value in frame[column]] for column in by})
    return frame.iloc[keys.sort_values(list(by), kind="stable").index.to_list()].reset_index(drop=True)


def _rank(column: str, value: Any, regimes: Sequence[str]) -> Any:
    if column == "top_k":
        return top_k_rank(value)
    if pd.isna(value):
        return -1 if column in _NUMBERS else ""
    if column == "top_p":
        return -value  # 1, which filters nothing, first
    if column == "task":
        return task_rank(str(value))
    fixed: dict[str, Sequence[str]] = {"regime": regimes, "kind": KINDS, "split": SPLITS, "metric": ("loss",)}
    if column not in fixed:
        return value
    names = list(fixed[column])
    return f"{names.index(value):04d}" if value in names else f"~{value}"
