"""A user's own score table: a CSV file, read strictly. Every mistake is one line that names file, line and column.

One row per score (columns `metric` and `value`), or one row per run with a column per metric: every column that is no
factor is then a metric. A row with a `top_k` is a score of generated text, any other is a score of a run on a split.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError, nearest
from harness.store.score_columns import ALIASES, FACTORS, REPLICATE, ROLES, TEXT, check_texts, typed

# Columns of the store that a score table cannot give: as metrics they would look like results.
_REFUSED = ("uid", "training_uid", "learning_rate", "repeat", "forwards", "unit", "status", "reason", "index")


def read_scores(path: Path) -> pd.DataFrame:
    """The scores of a file, one a row, typed and checked row by row.

    Returns:
        Columns: file, line, task, model, regime, regime_kind, design, split, the replicate columns that the file has
        (REPLICATE, or some of ROLES) as int64, those of TEXT (`top_k` is None where the row is no score of texts),
        metric, and value as float64.

    Raises:
        UserError: the file cannot be read, or something in it is not allowed; in one line.
    """
    rows = typed(_long(_fields(path), path), path)
    check_texts(rows, path)
    return rows


def place(row: Any) -> str:
    """Where a row is, for a message."""
    return f"{row.file}, line {row.line}"


def _fields(path: Path) -> pd.DataFrame:
    """The file's fields as stripped text, a row a record, with its `line`; columns under their proper names."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(header, path)
            rows = [[reader.line_num, *map(str.strip, row)] for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read as a CSV table ({reason})") from None
    wrong = next((row for row in rows if len(row) != len(header) + 1), None)
    if wrong is not None:
        raise UserError(f"{path}, line {wrong[0]}: has {len(wrong) - 1} fields, the header has {len(header)}")
    if not rows:
        raise UserError(f"{path}: has no rows below its header")
    return pd.DataFrame(rows, columns=["line", *(ALIASES.get(name, name) for name in header)])


def _check_header(header: Sequence[str], path: Path) -> None:
    names = [ALIASES.get(name, name) for name in header]
    if not header:
        raise UserError(f"{path}: is empty; a score table begins with a line of column names")
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        raise UserError(f"{path}, line 1: columns are separated by commas")
    if "" in header or "line" in header or "file" in header:
        raise UserError(f"{path}, line 1: column {header.index('') + 1 if '' in header else 'line/file'} needs a name")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        same = f" ('{twice[0]}' and its other name are one column)" if twice[0] in ALIASES.values() else ""
        raise UserError(f"{path}, line 1: column '{twice[0]}' stands twice{same}")
    if "regime" not in names:
        raise UserError(f"{path}: has no column 'regime' (or 'arm'): which arm each score is of")
    replicates = [name for name in names if name == REPLICATE or name in ROLES]
    if not replicates or (REPLICATE in replicates and len(replicates) > 1):
        raise UserError(
            f"{path}: needs either one column '{REPLICATE}' (or 'seed'), or role columns of {', '.join(ROLES)};"
            f" has {', '.join(replicates) or 'none of them'}"
        )
    given = [name for name in names if name in TEXT]
    if given and "top_k" not in given:
        raise UserError(f"{path}: has column '{given[0]}' of generated texts, but no column 'top_k'")


def _long(fields: pd.DataFrame, path: Path) -> pd.DataFrame:
    """One row per score."""
    others = [name for name in map(str, fields) if name not in FACTORS and name != "line"]
    refused = [name for name in others if name in _REFUSED]
    if refused:
        raise UserError(f"{path}: column '{refused[0]}' is not read from a score table: remove it")
    if ("metric" in others) != ("value" in others):
        lacking = "value" if "metric" in others else "metric"
        raise UserError(f"{path}: has no column '{lacking}': a row per score needs both 'metric' and 'value'")
    if "metric" in others:
        unknown = [name for name in others if name not in ("metric", "value")]
        if unknown:
            allowed = [*FACTORS, *ALIASES, "metric", "value"]
            raise UserError(f"{path}: unknown column '{unknown[0]}'{nearest(unknown[0], allowed)}")
        return fields
    if not others:
        raise UserError(f"{path}: has no scores: give columns 'metric' and 'value', or a column per metric")
    for name in others:
        close = difflib.get_close_matches(name.lower(), [*FACTORS, *ALIASES, "metric", "value"], 1, cutoff=0.75)
        if close:
            raise UserError(
                f"{path}: column '{name}' looks like '{close[0]}'; a metric of that name needs the form with columns"
                " 'metric' and 'value'"
            )
    factors = [name for name in fields if name not in others]
    return fields.melt(id_vars=factors, value_vars=others, var_name="metric", value_name="value", ignore_index=True)
