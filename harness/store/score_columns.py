"""The columns of a user's score table, each with its type, its default and what it may hold."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from harness.errors import UserError

ROLES = ("init", "sample", "order", "mask")
REPLICATE = "training_replicate"
SETTING = ("top_k", "temperature", "top_p", "min_p")
TEXT = (*SETTING, "prompt", "inference_replicate")
# The metric of a run that has scores of texts only: it says that there is such a run, and has no value.
UNMEASURED = ""
ALIASES = {"arm": "regime", "seed": REPLICATE}
FACTORS = ("task", "model", "regime", "regime_kind", "design", REPLICATE, *ROLES, "split", *TEXT)
_WHOLE = re.compile(r"[0-9]{1,9}")
# Squares and sums of larger numbers are no numbers any more.
_LARGEST = 1e100
_RANGES: dict[str, tuple[float, Callable[[float], bool], str]] = {
    # column: (what an empty field means, what is allowed, in words)
    "temperature": (1.0, lambda value: value > 0.0, "above 0; greedy is top_k 1"),
    "top_p": (1.0, lambda value: 0.0 < value <= 1.0, "above 0, at most 1"),
    "min_p": (0.0, lambda value: 0.0 <= value < 1.0, "from 0, below 1"),
}


def typed(scores: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The columns of `read_scores`, each with its type; what the file does not have gets its default.

    Args:
        scores: one score a row, every field as text, with its `line`.
        path: the file, for messages and as the task's name.

    Raises:
        UserError: a field is not allowed, in one line.
    """
    text = _text_of(scores, path)
    found = scores[["line"]].assign(file=str(path))
    found["task"] = _names(scores, "task", path, path.stem)
    found["model"] = _names(scores, "model", path, "unnamed")
    found["regime"], found["metric"] = (_names(scores, name, path, "") for name in ("regime", "metric"))
    found["regime_kind"], found["design"] = (_optional(scores, name) for name in ("regime_kind", "design"))
    found["split"] = _optional(scores, "split").mask(lambda split: (split == "") & ~text, "test")
    for name in (REPLICATE, *ROLES):
        if name in scores:
            found[name] = _whole(scores, name, path)
    found["top_k"] = scores["top_k"].where(text, None) if text.any() else None
    for name, (default, allowed, words) in _RANGES.items():
        found[name] = _in_range(scores, name, path, default, allowed, words)
    _check_shown(found, path)
    found["prompt"] = _optional(scores, "prompt")
    found["inference_replicate"] = _levels(scores, path)
    return found.assign(value=_numbers(scores, "value", path))


def _check_shown(found: pd.DataFrame, path: Path) -> None:
    """Refuses names that would not look in a report as they are: line ends, control and direction marks."""
    for name in ("task", "model", "regime", "split", "metric"):
        shown = found[name].map(str.isprintable).astype(bool)
        if not shown.all():
            first = found[~shown].iloc[0]
            why = "has a character that is not shown (a line end, control or direction mark)"
            raise UserError(f"{path}, line {first['line']}, column {name}: {first[name]!a} {why}")


def _text_of(scores: pd.DataFrame, path: Path) -> pd.Series[bool]:
    """Which rows are scores of generated texts: those with a `top_k`; its form is checked."""
    labels = _optional(scores, "top_k")
    good = (labels == "") | labels.isin(["all", "human"]) | (labels.str.fullmatch(_WHOLE) & (labels.str[:1] != "0"))
    if not good.all():
        _refuse(scores, "top_k", ~good, path, "is not a whole number from 1, 'all' or 'human'")
    return labels != ""


def check_texts(rows: pd.DataFrame, path: Path) -> None:
    """Refuses fields that mean nothing in their row, and greedy texts with replicates.

    Raises:
        UserError: naming line and column.
    """
    texts = rows["top_k"].notna()
    for name in ("prompt", "inference_replicate"):
        wrong = ~texts & (rows[name] != "" if name == "prompt" else rows[name].notna())
        if wrong.any():
            _refuse(rows, name, wrong, path, "needs a top_k in the same row")
    if (texts & (rows["split"] != "")).any():
        _refuse(rows, "split", texts & (rows["split"] != ""), path, "must be empty where the row has a top_k")
    if (texts & (rows["prompt"] == "") & rows["inference_replicate"].isna()).any():
        wrong = texts & (rows["prompt"] == "") & rows["inference_replicate"].isna()
        _refuse(rows, "inference_replicate", wrong, path, "may be empty only where a prompt is given")
    greedy = (rows["top_k"] == "1") & (rows["inference_replicate"].fillna(0) != 0)
    if greedy.any():
        _refuse(rows, "inference_replicate", greedy, path, "must be 0: top_k 1 is greedy and has one text a prompt")


def _refuse(scores: pd.DataFrame, column: str, wrong: pd.Series[bool], path: Path, why: str) -> None:
    first = scores[wrong].iloc[0]
    name = first["metric"] if column == "value" else column
    raise UserError(f"{path}, line {first['line']}, column {name}: '{first[column]}' {why}")


def _optional(scores: pd.DataFrame, column: str) -> pd.Series[str]:
    return scores[column] if column in scores else pd.Series("", index=scores.index)


def _names(scores: pd.DataFrame, column: str, path: Path, default: str) -> pd.Series[str]:
    """A column of names; without that column the default, but never an empty name."""
    if column not in scores:
        return pd.Series(default, index=scores.index)
    if (scores[column] == "").any():
        _refuse(scores, column, scores[column] == "", path, "is empty")
    return scores[column]


def _whole(scores: pd.DataFrame, column: str, path: Path) -> pd.Series[int]:
    good = scores[column].str.fullmatch(_WHOLE)
    if not good.all():
        _refuse(scores, column, ~good, path, "is not a whole number from 0 to 999999999 (leave out rows as Mean)")
    return scores[column].astype("int64")


def _levels(scores: pd.DataFrame, path: Path) -> pd.Series[int]:
    """Inference replicates: empty where a value stands for all of them; level 0 where there is no such column."""
    if "inference_replicate" not in scores:
        return _text_of(scores, path).map({True: 0, False: pd.NA}).astype("Int64")
    labels = scores["inference_replicate"]
    good = (labels == "") | labels.str.fullmatch(_WHOLE)
    if not good.all():
        _refuse(scores, "inference_replicate", ~good, path, "is not a whole number from 0 to 999999999")
    return labels.mask(labels == "", None).astype("Int64")


def _numbers(scores: pd.DataFrame, column: str, path: Path) -> pd.Series[float]:
    """A column of finite numbers, exactly as Python reads them."""
    values = pd.Series([_number(text) for text in scores[column]], index=scores.index, dtype=float)
    if values.isna().any():
        why = "is not a finite number up to 1e100 (leave out the rows of what has no value, as of failed runs)"
        _refuse(scores, column, values.isna(), path, why)
    return values


def _number(text: str) -> float:
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return math.nan
    return value if abs(value) <= _LARGEST else math.nan


def _in_range(
    scores: pd.DataFrame, column: str, path: Path, default: float, allowed: Callable[[float], bool], words: str
) -> pd.Series[float]:
    """A column of the decoding setting; greedy and human texts have none of it."""
    if column not in scores:
        return pd.Series(default, index=scores.index)
    filled = scores.assign(**{column: scores[column].mask(scores[column] == "", str(default))})
    values = _numbers(filled, column, path)
    good = values.map(allowed)
    if not good.all():
        _refuse(filled, column, ~good, path, f"is not allowed ({words})")
    return values.mask(scores["top_k"].isin(["1", "human"]), default)
