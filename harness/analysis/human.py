"""Texts that people wrote, as a row beside the decoding settings: how far is a setting from them?

Human texts are scored by every checkpoint, so that a metric that depends on the model (perplexity) has one human value
per training replicate; one that does not has the same value in all. Either way the comparison is paired by training
replicate, and over the same prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.analysis.arms import TRAINING_ARM
from harness.analysis.factorial import Levels
from harness.analysis.prompt_means import Floats, PromptTables, over_prompts
from harness.analysis.settings import HUMAN
from harness.analysis.texts import Rows

HUMAN_NOTE = "human text, scored by the model; nothing sampled"
_ONE_FEWER = "no difference to human: a human text has one reference fewer"
# What a text is compared with is not the same for human texts, which alone is worth some points: a human text cannot
# be its own reference, and a standard error falls with the number of texts.
INCOMPARABLE = {
    "bleu": _ONE_FEWER,
    "chrf": _ONE_FEWER,
    "rouge-l": _ONE_FEWER,
    "rouge-l-set": _ONE_FEWER,
    "replicate-distinctness-error": "no difference to human: a standard error depends on the number of texts",
}
_MEASURED = [*TRAINING_ARM, "training_replicate", "metric", "unit"]
_COLUMNS = ("to_human", "to_human_low", "to_human_high")


def differences(rows: Rows, cells: pd.DataFrame) -> PromptTables:
    """How far the texts of every group are from the human texts of each prompt where both have a value.

    Of some prompts only one may have a value (pairs of references need two references): the difference of the two means
    over all values would be a difference of prompts, too.

    Args:
        rows: the texts.
        cells: what `prompt_cells` gives of them.

    Returns: the mean over inference replicates minus the mean over references; groups of human texts have none.
    """
    measured = rows.groups.groupby(_MEASURED, sort=False).ngroup().to_numpy()
    human = (rows.groups["top_k"] == HUMAN).to_numpy()
    partnered = np.isin(measured, measured[human])
    cells = cells[partnered[cells["group"]]]
    cells, written = cells.assign(measured=measured[cells["group"]]), human[cells["group"]]
    people = cells.loc[written, ["measured", "prompt", "mean"]].rename(columns={"mean": "human"})
    both = cells[~written].merge(people, how="left", on=["measured", "prompt"], validate="many_to_one")
    both = both.dropna(subset=["human"])
    return PromptTables.of(both.assign(difference=both["mean"] - both["human"]), "difference")


@dataclass(frozen=True)
class Prompts:
    """How many prompts a row and the human texts of its task, model and regime have."""

    sampled: int
    human: int


def to_human(
    metric: str, unit: str, table: Floats, prompts: Prompts, design: str, runs: Sequence[Levels]
) -> tuple[dict[str, float], list[str]]:
    """Mean difference to the human texts of the same checkpoint, with the 95 % interval of the design, and notes.

    Args:
        metric, unit: of the row.
        table: what `differences` has of its training replicates that have a defined mean [replicates, prompts].
        prompts: what they are of.
        design: of the training replicates.
        runs: role levels of every replicate; empty in a joint design.
    """
    there = np.flatnonzero(~np.isnan(table).all(axis=1)).tolist() if table.size else []
    unknown = dict.fromkeys(_COLUMNS, math.nan)
    if not there:
        return unknown, []
    if metric in INCOMPARABLE:
        return unknown, [INCOMPARABLE[metric]]
    found = over_prompts(design, [runs[place] for place in there] if runs else [], table[there])
    notes = _prompt_notes(unit, int(found.prompts.sum()), prompts)
    if len(there) < len(table):
        notes.append(f"to human: {len(there)} of {len(table)} training replicates have human texts to pair")
    notes += [f"to human: {found.note}"] if found.note else []
    interval = found.interval
    return dict(zip(_COLUMNS, (interval.mean, interval.low, interval.high), strict=True)), notes


def _prompt_notes(unit: str, shared: int, prompts: Prompts) -> list[str]:
    """What is said where a row and the human row beside it are not of the same prompts."""
    if unit == "set":
        differ = prompts.sampled != prompts.human
        return [f"to human: {prompts.human} prompts have human texts, {prompts.sampled} have these"] if differ else []
    most = max(prompts.sampled, prompts.human)
    return [f"to human: over {shared} of {most} prompts, where both have a value"] if shared < most else []


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
