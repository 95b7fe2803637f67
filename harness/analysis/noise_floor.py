"""The table `noise_floor`: what is left between runs that differ in nothing, not even in a seed.

Identical-seed repeats have the same role levels as the first replicate of their arm, so any difference to it comes
from the machine: threads, kernels, versions. On one CPU with one thread it should be 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import FAILED, TRAINING_ARM
from harness.analysis.order import check_regimes, ordered, require

COLUMNS = [*TRAINING_ARM, "split", "metric", "repeats", "largest_difference", "texts", "differing_texts", "note"]
TEXTS = [*TRAINING_ARM, "repeat", "texts", "differing"]
GENERATED = "generated"
_MEASURED = [*TRAINING_ARM, "split", "metric"]


def noise_floor(
    training: pd.DataFrame, cells: pd.DataFrame, *, regimes: Sequence[str], texts: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per task, model, regime, split and metric of the arms that were repeated.

    `largest_difference` is the largest absolute difference of a repeat to the first run, in the metric's own unit; it
    is NaN where the first run gave no value, and infinite where the metric is defined in one of the two only. Rows of
    split `generated` count texts instead: `differing_texts` is the share of the repeats' `texts` whose token ids are
    not those of the first run at the same setting, prompt and level.

    Args:
        training: the store's table `training`, with repeats.
        cells: the store's table `cells`.
        regimes: the grid's regimes, in its order.
        texts: the store's table `repeated_texts`; None: no texts were repeated.

    Raises:
        ValueError: a table lacks a column, or a regime is unknown.
    """
    require(training, "training", ["uid", *_MEASURED, "training_replicate", "repeat", "value"])
    require(cells, "cells", ["uid", "status"])
    check_regimes(training, "training", regimes)
    repeated = training[(training["repeat"] != 0) & training["uid"].isin(cells.loc[cells["status"] == "done", "uid"])]
    rows = [_row(dict(zip(_MEASURED, key, strict=True)), runs, training, cells) for key, runs in _groups(repeated)]
    rows += _unfinished(training, cells)
    if texts is not None and not texts.empty:
        require(texts, "repeated_texts", TEXTS)
        rows += [_text_row(key, some) for key, some in texts.groupby(TRAINING_ARM, sort=True)]
    return ordered(pd.DataFrame(rows, columns=COLUMNS), _MEASURED, regimes)


def _unfinished(training: pd.DataFrame, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """A repeat that diverged or failed where its first run is done: no noise is larger."""
    if "repeat" not in cells.columns:
        return []
    bad = cells[(cells["kind"] == "training") & (cells["repeat"].fillna(0) != 0) & cells["status"].isin(FAILED)]
    firsts = training[training["repeat"] == 0].drop_duplicates([*TRAINING_ARM, "training_replicate"])
    rows = []
    for key, some in bad.merge(firsts[[*TRAINING_ARM, "training_replicate"]]).groupby(TRAINING_ARM, sort=True):
        diverged = int((some["status"] == "diverged").sum())
        note = f"{diverged} repeats diverged and {len(some) - diverged} failed, the first run is done"
        numbers = {"repeats": len(some), "largest_difference": math.inf if diverged else math.nan, "texts": 0}
        named = {**dict(zip(TRAINING_ARM, key, strict=True)), "split": "", "metric": "whole run"}
        rows.append({**named, **numbers, "differing_texts": math.nan, "note": note})
    return rows


def _groups(repeated: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    return list(repeated.groupby(_MEASURED, sort=True)) if len(repeated) else []


def _row(named: dict[str, Any], repeats: pd.DataFrame, training: pd.DataFrame, cells: pd.DataFrame) -> dict[str, Any]:
    """The differences of one split and metric of one arm."""
    firsts = training[training["repeat"] == 0]
    pairs = repeats.merge(firsts, on=[*_MEASURED, "training_replicate"], suffixes=("", "_first"))
    differences = [_difference(a, b) for a, b in zip(pairs["value"], pairs["value_first"], strict=True)]
    notes = [] if len(pairs) == len(repeats) else ["the first run gave no value"]
    if _across(pairs, cells):
        notes.append("across environments")
    largest = {"repeats": len(repeats), "largest_difference": max(differences, default=math.nan)}
    return {**named, **largest, "texts": 0, "differing_texts": math.nan, "note": "; ".join(notes)}


def _difference(repeat: float, first: float) -> float:
    """Absolute difference; infinite where only one of the two is defined (a loss that only one run reached)."""
    if math.isnan(repeat) or math.isnan(first):
        return 0.0 if math.isnan(repeat) and math.isnan(first) else math.inf
    return abs(float(repeat) - float(first))


def _across(pairs: pd.DataFrame, cells: pd.DataFrame) -> bool:
    """True where a repeat ran in another environment than the first run: then the difference is not only noise."""
    if "environment" not in cells.columns:
        return False
    ran = dict(zip(cells["uid"], cells["environment"].astype(str), strict=True))
    return any(ran.get(mine) != ran.get(first) for mine, first in zip(pairs["uid"], pairs["uid_first"], strict=True))


def _text_row(key: tuple[Any, ...], some: pd.DataFrame) -> dict[str, Any]:
    texts, differing = int(some["texts"].sum()), int(some["differing"].sum())
    return {
        **dict(zip(TRAINING_ARM, key, strict=True)),
        "split": GENERATED,
        "metric": "texts that differ",
        "repeats": int(some["repeat"].nunique()),
        "largest_difference": math.nan,
        "texts": texts,
        "differing_texts": differing / texts if texts else math.nan,
        "note": "",
    }
