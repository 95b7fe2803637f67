"""The number that a cell of a table is sorted by: the full value behind the rounded text."""

from __future__ import annotations

import math
import re

import pandas as pd

from harness.reporting.tables import TEXT

Value = float | None
Texts = dict[str, list[str]]
# The readable forms name some columns otherwise than the tables do.
_ALIASES = {"gap to train": "gap", "pairs": "n_pairs", "r": "pair_correlation", "95 % CI": "ci_low"}
_NUMBER = re.compile(r"(?:< |\[)?([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")


def sort_value(value: float) -> str:
    """A number as JavaScript reads it."""
    return f"{'-' if value < 0 else ''}Infinity" if math.isinf(value) else repr(value)


def sort_values(texts: Texts, table: pd.DataFrame) -> dict[str, list[Value]]:
    """Of every cell the number to sort by: the table's own where it is what the text shows, else the text's."""
    origin = _origin(texts, table)
    found: dict[str, list[Value]] = {}
    for column, shown in texts.items():
        raw = _raw(column, table)
        if raw is None and column in TEXT:
            found[column] = [None] * len(shown)
            continue
        found[column] = [
            _value(text, None if raw is None or place is None else raw[place])
            for text, place in zip(shown, origin, strict=True)
        ]
    return found


def _origin(texts: Texts, table: pd.DataFrame) -> list[int | None]:
    """Of each readable row its row in the table, found by the names that both hold; readable forms drop some rows."""
    names = [name for name in texts if name in TEXT and name in table.columns]
    if not names:
        return [None] * len(next(iter(texts.values()), []))
    raw = [["" if pd.isna(value) else str(value) for value in table[name]] for name in names]
    places: dict[tuple[str, ...], int | None] = {}
    for place, key in enumerate(zip(*raw, strict=True)):
        places[key] = None if key in places else place
    return [places.get(key) for key in zip(*(texts[name] for name in names), strict=True)]


def _raw(column: str, table: pd.DataFrame) -> list[float] | None:
    name = next((n for n in (column, column.replace(" ", "_"), _ALIASES.get(column, "")) if n in table.columns), "")
    if not name or not pd.api.types.is_numeric_dtype(table[name]) or pd.api.types.is_bool_dtype(table[name]):
        return None
    return table[name].astype("Float64").to_numpy(dtype=float, na_value=math.nan).tolist()


def _value(text: str, raw: float | None) -> Value:
    match = _NUMBER.match(text)
    if match is None:
        return None
    read = float(match[1])
    if raw is None:
        return read
    shown = raw < read if text.startswith("<") else _rounds_to(raw, match[1])
    return raw if shown else read


def _rounds_to(raw: float, text: str) -> bool:
    """Whether a value is what the text shows: it may show another quantity of the row, or percent."""
    mantissa, _, exponent = text.partition("e")
    last = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(raw - float(text)) <= 0.5001 * last
