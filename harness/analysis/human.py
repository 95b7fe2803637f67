"""Texts that people wrote, as a row beside the decoding settings: how far is a setting from them?

Human texts are scored by every checkpoint, so that a metric that depends on the model (perplexity) has one human value
per training replicate; one that does not has the same value in all. Either way the comparison is paired by training
replicate, and over the same prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.analysis.arms import TRAINING_ARM
from harness.analysis.designs import estimate
from harness.analysis.factorial import Levels
from harness.analysis.settings import HUMAN
from harness.analysis.texts import Rows, defined_in_order, means, prompt_cells

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


def differences(rows: Rows) -> pd.DataFrame:
    """How far the texts of every group are from the human texts, over the prompts where both have a value.

    Of some prompts only one may have a value (pairs of references need two references): the difference of the two means
    over all values would be a difference of prompts, too. A prompt weighs the same however many values it has.

    Returns: a row per group, in their order: `difference`, the mean over shared prompts of the mean over inference
        replicates minus the mean over references, NaN without one and in groups of human texts; `shared`, the number of
        these prompts (of unit set: 1, all prompts together).
    """
    measured = rows.groups.groupby(_MEASURED, sort=False).ngroup().to_numpy()
    human = (rows.groups["top_k"] == HUMAN).to_numpy()
    partnered = np.isin(measured, measured[human])
    cells = prompt_cells(defined_in_order(rows.rows(partnered[rows.group])))
    cells["measured"], written = measured[cells["group"]], human[cells["group"]]
    people = cells.loc[written, ["measured", "prompt", "mean"]].rename(columns={"mean": "human"})
    both = cells[~written].merge(people, how="left", on=["measured", "prompt"], validate="many_to_one")
    both = both.dropna(subset=["human"])
    group = both["group"].to_numpy()
    shared = np.bincount(group, minlength=len(rows.groups))
    return pd.DataFrame(
        {"difference": means((both["mean"] - both["human"]).to_numpy(), group, shared), "shared": shared}
    )


def to_human(replicates: pd.DataFrame, design: str, runs: Sequence[Levels]) -> tuple[dict[str, float], list[str]]:
    """Mean difference to the human texts of the same checkpoint, with the 95 % interval of the design, and notes.

    Args:
        replicates: of one setting, metric and unit: a row per training replicate with a defined mean, and what
            `differences` has of it.
        design: of the training replicates.
        runs: role levels of every replicate; empty in a joint design.
    """
    there = np.flatnonzero(replicates["difference"].notna()).tolist()
    unknown = dict.fromkeys(_COLUMNS, math.nan)
    if not len(there):
        return unknown, []
    metric = replicates["metric"].iloc[0]
    if metric in INCOMPARABLE:
        return unknown, [INCOMPARABLE[metric]]
    found, lost = estimate(design, [runs[p] for p in there] if runs else [], replicates["difference"].iloc[there])
    notes = [f"to human: {lost}"] if lost else []
    if len(there) < len(replicates):
        notes.insert(0, f"to human: {len(there)} of {len(replicates)} training replicates have human texts to pair")
    return dict(zip(_COLUMNS, (found.mean, found.low, found.high), strict=True)), notes


def prompt_notes(replicates: pd.DataFrame, prompts: int, human_prompts: int) -> list[str]:
    """What is said where a row and the human row beside it are not of the same prompts.

    Args:
        replicates: as in `to_human`.
        prompts: how many of them the row has.
        human_prompts: and the human texts.
    """
    compared = replicates.dropna(subset=["difference"])
    if compared.empty or compared["metric"].iloc[0] in INCOMPARABLE:
        return []
    if compared["unit"].iloc[0] == "set":
        differ = prompts != human_prompts
        return [f"to human: {human_prompts} prompts have human texts, {prompts} have these"] if differ else []
    low, high, most = compared["shared"].min(), compared["shared"].max(), max(prompts, human_prompts)
    if low == most:
        return []
    return [f"to human: over {low if low == high else f'{low} to {high}'} of {most} prompts, where both have a value"]


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
