"""Notes of rows: what every row of a table says stands once below it, and not in every row."""

from __future__ import annotations

import pandas as pd

SEPARATOR = "; "
_MANY = 3


def common_notes(table: pd.DataFrame) -> list[str]:
    """The parts of the column `note` that all rows share; none in a table of few rows."""
    if len(table) < _MANY:
        return []
    first, *others = (str(note).split(SEPARATOR) for note in table["note"])
    shared = set(first).intersection(*others) - {""}
    return [part for part in first if part in shared]


def without(note: object, parts: list[str]) -> str:
    """A note without these parts."""
    return SEPARATOR.join(part for part in str(note).split(SEPARATOR) if part not in parts)


def told_once(table: pd.DataFrame) -> list[str]:
    """The footnote that stands for the notes of all rows."""
    shared = common_notes(table)
    return [f"All rows: {SEPARATOR.join(shared)}."] if shared else []
