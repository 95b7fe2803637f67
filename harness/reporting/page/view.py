"""A report table as the page shows it: text to read, and beside it the full value to sort by."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.reporting.headline import TEXTS, TRAINING
from harness.reporting.page.values import Texts, Value, sort_value, sort_values
from harness.reporting.tables import TEXT, readable

# Rows in the HTML itself, and rows in the page at all; the CSV beside the page has every row.
STATIC_ROWS = 60
MOST_ROWS = 2000
_FACTORS = ("task", "model", "regime", "split", "top_k", "temperature")
FILTERS = frozenset((*_FACTORS, "metric", "unit", "component", "effect", "family", "kind", "status", "verdict"))
HEADLINE = frozenset((*TRAINING, *TEXTS))
_PROBLEM = ("task", "model")
BADGES = ("verdict", "status")
# The first that a reader must see.
_STATUS = ("error", "diverged", "missing", "skipped", "done")
_MOST_CHOICES = 80
_LINE = 32


@dataclass(frozen=True)
class Column:
    """A column: its form is `num`, `text` (on one line), `long` (text) or `mark`; by a filter rows are chosen."""

    name: str
    form: str
    filter: bool


@dataclass(frozen=True)
class TableView:
    """A table of the page.

    Attributes:
        name: of the table; `NAME.csv` lies beside the page.
        where: task and model, where all rows are of one; then they have no column.
        columns: what is shown.
        rows: [rows][columns] of (text, value to sort by or None), at most MOST_ROWS.
        total: rows of the readable form, which may leave out metrics or put several rows of the table into one.
        stored: rows of the table itself.
        headline: the metrics that are shown first, or nothing where all rows are.
        footnotes: what a reader must know.
    """

    name: str
    where: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[tuple[str, Value], ...], ...]
    total: int
    stored: int
    headline: tuple[str, ...]
    footnotes: tuple[str, ...]

    @property
    def static(self) -> tuple[tuple[tuple[str, Value], ...], ...]:
        """The rows that stand in the HTML."""
        return self.rows[:STATIC_ROWS]

    @property
    def left_out(self) -> int:
        """Rows that would be readable and are not on the page."""
        return self.total - len(self.rows)

    @property
    def rest(self) -> str:
        """The other rows as JSON that may stand in a script element: `[[texts, values], ...]`."""
        rows = [[[text for text, _ in row], [_json(value) for _, value in row]] for row in self.rows[STATIC_ROWS:]]
        return json_in_script(rows)

    @property
    def headline_json(self) -> str:
        """For an attribute."""
        return json.dumps(self.headline)


def table_view(
    name: str, table: pd.DataFrame, footnotes: Sequence[str] = (), *, most: int = MOST_ROWS, label: str = ""
) -> TableView:
    """A report table for the page: rows of headline metrics first, failed cells first.

    Args:
        name: of the report table.
        table: its rows, unrounded.
        footnotes: what a reader must know.
        most: rows that the page holds; the CSV holds all.
        label: the view's name, where it is not the table's.
    """
    shown = readable(name, table)
    texts = {str(column): [str(text) for text in shown[column]] for column in shown.columns}
    values = sort_values(texts, table)
    order, headline = _order(texts, len(shown))
    where = _where(texts)
    texts = {column: cells for column, cells in texts.items() if not where or column not in _PROBLEM}
    columns = tuple(
        Column(column, _form(column, texts[column], values[column]), _chosen_by(column, texts)) for column in texts
    )
    rows = tuple(tuple((texts[name][place], values[name][place]) for name in texts) for place in order[:most])
    return TableView(label or name, where, columns, rows, len(shown), len(table), headline, tuple(footnotes))


def plain_view(name: str, table: pd.DataFrame, most: int) -> TableView:
    """Any table of names and numbers for the page; numbers with four significant digits."""
    columns = tuple(
        Column(str(column), "num" if pd.api.types.is_numeric_dtype(table[column]) else "text", False)
        for column in table.columns
    )
    rows = tuple(
        tuple(_plain(cell, column.form == "num") for cell, column in zip(row, columns, strict=True))
        for row in table.head(most).itertuples(index=False, name=None)
    )
    return TableView(name, "", columns, rows, len(table), len(table), (), ())


def _plain(cell: Any, number: bool) -> tuple[str, Value]:
    if pd.isna(cell):
        return "", None
    return (f"{cell:.4g}", float(cell)) if number else (str(cell), None)


def json_in_script(content: Any) -> str:
    """JSON that cannot end the script element it stands in, nor a line of it (U+2028)."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _json(value: Value) -> float | str | None:
    return sort_value(value) if value is not None and math.isinf(value) else value


def _where(texts: Texts) -> str:
    """The one task and model of all rows, or nothing."""
    problems = set(zip(*(texts.get(name, []) for name in _PROBLEM), strict=False))
    return " / ".join(problems.pop()) if len(problems) == 1 else ""


def _form(column: str, texts: Sequence[str], values: Sequence[Value]) -> str:
    if column in BADGES:
        return "mark"
    if column not in TEXT and any(value is not None for value in values):
        return "num"
    return "text" if max(map(len, texts), default=0) <= _LINE else "long"


def _chosen_by(column: str, texts: Texts) -> bool:
    return column in FILTERS and 2 <= len(set(texts[column])) <= _MOST_CHOICES


def _order(texts: Texts, count: int) -> tuple[list[int], tuple[str, ...]]:
    """The rows' places as the page shows them, and the metrics that come first."""
    places = list(range(count))
    if "status" in texts:
        ranks = {status: rank for rank, status in enumerate(_STATUS)}
        return sorted(places, key=lambda place: ranks.get(texts["status"][place], -1)), ()
    metrics = texts.get("metric", [])
    first = tuple(metric for metric in dict.fromkeys(metrics) if metric in HEADLINE)
    if count <= STATIC_ROWS or not first or len(first) == len(set(metrics)):
        return places, ()
    return sorted(places, key=lambda place: metrics[place] not in first), first
