"""The noise floor as a variance: what identical-seed repeats leave, by arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.arms import TRAINING_ARM

_SCORE = [*TRAINING_ARM, "split", "metric"]


@dataclass(frozen=True)
class Floor:
    """A variance in the metric's squared unit (NaN: not measured) and what it was measured on."""

    variance: float
    note: str


@dataclass(frozen=True)
class Floors:
    """Noise floors: of training metrics by arm, split and metric; of everything about texts by arm."""

    scores: dict[tuple[Any, ...], Floor]
    texts: dict[tuple[Any, ...], Floor]


def measured_floors(tables: Mapping[str, pd.DataFrame]) -> Floors:
    """Floors of the arms that have finished repeats.

    A repeat and its first run differ by two draws of the noise, so half the mean squared difference is its variance.
    Of texts it is known how many differ: where none does, nothing about them varies.
    """
    return Floors(_scores(tables), _texts(tables.get("repeated_texts")))


def _scores(tables: Mapping[str, pd.DataFrame]) -> dict[tuple[Any, ...], Floor]:
    training, cells = tables.get("training"), tables.get("cells")
    if training is None or cells is None or training.empty:
        return {}
    done = training[training["uid"].isin(cells.loc[cells["status"] == "done", "uid"]) & training["value"].notna()]
    on = [*_SCORE, "training_replicate"]
    pairs = done[done["repeat"] != 0].merge(done[done["repeat"] == 0], on=on, suffixes=("", "_first"))
    found = {}
    for key, rows in pairs.groupby(_SCORE, sort=False):
        squares = [(a - b) ** 2 for a, b in zip(rows["value"], rows["value_first"], strict=True)]
        found[key] = Floor(math.fsum(squares) / len(squares) / 2.0, f"{len(squares)} identical-seed repeats")
    return found


def _texts(repeated: pd.DataFrame | None) -> dict[tuple[Any, ...], Floor]:
    if repeated is None or repeated.empty:
        return {}
    found = {}
    for key, rows in repeated.groupby(TRAINING_ARM, sort=False):
        texts, differing = int(rows["texts"].sum()), int(rows["differing"].sum())
        zero = texts > 0 and differing == 0
        note = f"{differing} of {texts} repeated texts differ"
        found[key] = Floor(0.0 if zero else math.nan, note if zero else f"{note}: see table noise_floor")
    return found
