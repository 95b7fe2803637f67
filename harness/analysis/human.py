"""Texts that people wrote, as a row beside the decoding settings: how far is a setting from them?

Human texts are scored by every checkpoint, so that a metric that depends on the model (perplexity) has one human value
per training replicate; one that does not has the same value in all. Either way the comparison is paired by training
replicate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import TRAINING_ARM
from harness.analysis.designs import estimate
from harness.analysis.factorial import Levels
from harness.analysis.settings import HUMAN

HUMAN_NOTE = "human text, scored by the model; nothing sampled"
_MEASURED = [*TRAINING_ARM, "metric", "unit"]
Means = Mapping[Any, float]


def human_means(replicates: pd.DataFrame) -> dict[tuple[Any, ...], Means]:
    """The human mean by training replicate, of every task, model, regime, metric and unit that has human texts."""
    human = replicates[replicates["top_k"] == HUMAN].dropna(subset=["mean"])
    return {
        key: dict(zip(some["training_replicate"], some["mean"], strict=True))
        for key, some in human.groupby(_MEASURED, sort=False)
    }


def to_human(replicates: pd.DataFrame, human: Means | None, design: str, runs: Sequence[Levels]) -> dict[str, float]:
    """Mean minus human mean, paired by training replicate, with the 95 % interval of the design.

    Args:
        replicates: of one setting, metric and unit: a row per training replicate with a defined mean.
        human: what `human_means` has of the same task, model, regime, metric and unit.
        design: of the training replicates.
        runs: role levels of every replicate; empty in a joint design.
    """
    names = ("to_human", "to_human_low", "to_human_high")
    if human is None or not len(replicates) or replicates["top_k"].iloc[0] == HUMAN:
        return dict.fromkeys(names, math.nan)
    pairs = zip(replicates["training_replicate"], replicates["mean"], strict=True)
    differences = [mean - human[replicate] if replicate in human else math.nan for replicate, mean in pairs]
    there = [place for place, difference in enumerate(differences) if not math.isnan(difference)]
    found, _ = estimate(design, [runs[place] for place in there] if runs else [], [differences[p] for p in there])
    return dict(zip(names, (found.mean, found.low, found.high), strict=True))


def human_notes(unit: str, sizes: pd.Series[int], expected: int) -> list[str]:
    """What is said of numbers of human texts: prompts need not have the same number of references."""
    most = int(sizes.max())
    if most >= expected:
        return []
    if unit == "set":
        return [f"{most} of {expected} sets of references have a text for every prompt; the others are left out"]
    if unit == "prompt":
        return [f"{most} of {expected} prompts have several references"]
    return [f"{most} references of at most {expected}: prompts differ in their number, and weigh the same"]
