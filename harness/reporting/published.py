"""The table `published` as people read it: as text, as footnotes, and in a terminal."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from harness.reporting.numbers import interval, rounded

RULE = (
    "agrees: the published mean of m runs lies in our 95 % prediction interval mean +- t sqrt(s^2/n + spread^2/m), with"
    " t of n - 1 degrees of freedom (of m - 1 where that is fewer and the spread is published); an unknown spread is"
    " taken to be ours; rounding is added. It says that nothing speaks against the number, not that the two are equal:"
    " read the interval."
)
ORDER = (
    "ordering: agrees where every adjacent difference (paired by training replicate) has a 95 % interval above 0, or"
    " above the margin that the entry names; does not agree where one has it below that."
)
TEXTS = (
    "unit: the metric is of generated texts; a training replicate's value is the mean over prompts and inference"
    " replicates."
)
UNDECIDED = "undecided: the data or the design do not allow an answer; the note says why."
_OPTIONAL = ("setting", "split", "unit")
ESTIMATOR = "same estimator no: the source measured in another way, so that even equal models need not agree."
TEXT = ("setting", "published", "same estimator", "verdict")


def published_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table with numbers rounded to their uncertainty, one text per cell; no column that says nothing."""
    shown = pd.DataFrame([_row(row) for row in table.to_dict("records")])
    empty = [column for column in _OPTIONAL if len(shown) and not (shown[column] != "").any()]
    return shown.drop(columns=empty)


def published_footnotes(table: pd.DataFrame) -> list[str]:
    """The rules of the verdicts, then the source of each entry and how it measured."""
    if table.empty:
        return ["the grid names no published number."]
    lines = [RULE] if (table["kind"] == "value").any() else []
    lines += [ORDER] if (table["kind"] == "ordering").any() else []
    lines += [TEXTS] if (table["unit"] != "").any() else []
    lines += [UNDECIDED] if set(table["verdict"]) & {"undecided", "open"} else []
    lines += [ESTIMATOR] if not table["same_estimator"].all() else []
    return lines + _sources(table)


def _sources(table: pd.DataFrame) -> list[str]:
    """Source and estimator, with the entries that share them in front."""
    entries: dict[str, list[str]] = {}
    for row in table.drop_duplicates("entry").to_dict("records"):
        text = f"{row['source']}. Measured there as: {row['estimator']}"
        entries.setdefault(text, []).append(str(row["entry"]))
    return [f"entry {', '.join(numbers)}: {text}" for text, numbers in entries.items()]


def published_view(table: pd.DataFrame) -> Table:
    """The table in a terminal. Names are Text: square brackets are shown, not obeyed."""
    rows = published_rows(table)
    left_out = {"kind", "task", "model", "failed", "missing", "note"}
    columns = [column for column in rows.columns if column not in left_out]
    shown = Table(title=Text("published numbers"), title_justify="left")
    for column in columns:
        shown.add_column(Text(column), overflow="fold")
    for row in rows.to_dict("records"):
        shown.add_row(*(Text(str(row[column])) for column in columns))
    return shown


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    names = ("entry", "kind", "task", "model", "regime", "setting", "split", "unit", "metric")
    factors = {name: row[name] for name in names}
    ours = {
        "n": row["n"],
        "mean": "" if row["kind"] == "ordering" else rounded(row["mean"], row["ci_low"], row["ci_high"]),
        "95 % CI": "" if row["kind"] == "ordering" else interval(row["ci_low"], row["ci_high"]),
        "prediction interval": interval(row["prediction_low"], row["prediction_high"]) if _value(row) else "",
        "same estimator": "yes" if row["same_estimator"] else "no",
        "verdict": row["verdict"],
    }
    fate = {name: row[name] for name in ("failed", "missing", "note")}
    return {**factors, "published": _published(row), **ours, **fate}


def _value(row: dict[Any, Any]) -> bool:
    return bool(row["kind"] == "value")


def _published(row: dict[Any, Any]) -> str:
    """For example `1.4655 (sd 0.0027, 5 runs)`; the digits are the source's own."""
    if not _value(row):
        return ""
    runs = int(row["published_n"])
    parts = [] if pd.isna(row["spread"]) else [f"sd {row['spread']}"]
    parts += [f"best of {runs} runs" if row["statistic"] == "best" else f"{runs} run{'s' if runs > 1 else ''}"]
    return f"{row['published']} ({', '.join(parts)})"
