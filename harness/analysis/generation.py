"""The table `generation`: what sampled texts are like, by regime and decoding setting.

Intervals speak of new training replicates and new prompts (harness/analysis/means.py): the texts of one checkpoint
and prompt are averaged first, over inference replicates. An interval over texts would be far too narrow, because texts
of one checkpoint, or of one prompt, are not independent draws. A set metric is one number for all prompts: its interval
is over training replicates, given these prompts and inference replicates. In a crossed design new levels of the roles
take the place of new replicates; an isolated one has no interval: see harness/analysis/designs.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.arms import GENERATION_ARM, cells_of, fates
from harness.analysis.checked import checked_rows, counted
from harness.analysis.designs import described, replicate_levels, runs_of
from harness.analysis.factorial import Levels
from harness.analysis.human import HUMAN_NOTE, Prompts, differences, human_notes, to_human
from harness.analysis.intervals import t_interval
from harness.analysis.order import ordered
from harness.analysis.prompt_means import Floats, OverPrompts, PromptTables, over_prompts
from harness.analysis.settings import GREEDY, HUMAN
from harness.analysis.texts import KEY, per_replicate, prompt_cells, whole_sets

COLUMNS = [*GENERATION_ARM, "metric", "unit", "n_training", "n_inference", "n_prompts", "mean", "sd", "ci_low"]
COLUMNS += ["ci_high", "decode_sd", "to_human", "to_human_low", "to_human_high"]
COLUMNS += ["undefined", "failed", "missing", "design", "note"]
ONE_BY_CONSTRUCTION = "one inference replicate by construction (k = 1 is greedy): decode sd is 0"
_ARM = len(GENERATION_ARM)
_NO_FATE = {"failed": 0, "missing": 0}


def generation(
    metrics: pd.DataFrame,
    cells: pd.DataFrame,
    *,
    regimes: Sequence[str],
    repeats: frozenset[str] = frozenset(),
    training: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per task, model, regime, decoding setting, metric and unit; in the metric's own unit.

    mean and 95 % interval are over training replicates and prompts (of unit `set`: over training replicates) of the
    mean over inference replicates; sd is that of the training replicates' means. Values that are NaN (not defined on a
    text, for example because it is too short) are left out and counted in `undefined`. A prompt counts where every
    replicate has a value of it, and then weighs the same however many values it has (harness.analysis.prompt_means);
    `note` says where these are not all, and names unequal numbers of texts and a crossed design that lacks a run. An
    arm without any value keeps a row.

    `decode_sd` is the inference die alone: the root of the mean, over training replicates and prompts, of the unbiased
    variance over inference replicates (of unit `set`: over training replicates). It is 0 of greedy texts, by
    construction; NaN where no prompt has two defined values, in unit `prompt` (one value stands for all inference
    replicates), and for human texts, which nobody sampled.

    Rows with top_k `human` are texts that people wrote, scored by the same checkpoints; their inference replicates are
    the references of a prompt (harness.analysis.texts.per_replicate says how they are averaged). `to_human` is the
    mean minus the human mean of the same task, model, regime, metric and unit, paired by training replicate and prompt,
    with the same kind of interval. Both means are over the prompts where both have a value; `note` says where these
    are not all. NaN where there is no human row, and of the metrics in harness.analysis.human.INCOMPARABLE.

    Args:
        metrics: the store's table `generation_metrics`.
        cells: the store's table `cells`.
        regimes: the grid's regimes, in its order.
        repeats: uids of the training cells that are identical-seed repeats; their texts are left out.
        training: the store's table `training`, which knows design and role levels; None: a joint design.

    Raises:
        ValueError: a column is missing; a regime, unit or checkpoint is unknown; a factor is empty; a value is
            infinite; a row is there twice; greedy texts have replicates; two checkpoints claim one training replicate.
    """
    rows = checked_rows(metrics, cells, regimes, repeats)
    counts = counted(rows)
    outcomes = _fates(cells, regimes)
    whole = whole_sets(rows)
    cells_of_prompts = prompt_cells(whole)
    replicates = per_replicate(whole, cells_of_prompts)
    own, apart = PromptTables.of(cells_of_prompts, "mean"), differences(whole, cells_of_prompts)
    written = {arm[:3]: prompts for arm, (_, prompts) in counts.items() if arm[3] == HUMAN}
    design, levels = replicate_levels(training)
    found = [
        {
            **dict(zip(KEY, key, strict=True)),
            **_summary(group, own, apart, counts[key[:_ARM]], design, levels, written.get(key[:3], 0)),
            **outcomes.get(key[:_ARM], _NO_FATE),
        }
        for key, group in replicates.groupby(KEY, sort=False)
    ]
    found += [_empty_row(arm, fate) for arm, fate in outcomes.items() if arm not in counts]
    return ordered(pd.DataFrame(found, columns=COLUMNS), KEY, regimes)


def _fates(cells: pd.DataFrame, regimes: Sequence[str]) -> dict[tuple[Any, ...], dict[str, int]]:
    counted = fates(cells_of(cells, "generation", regimes), GENERATION_ARM)
    return {
        tuple(row[factor] for factor in GENERATION_ARM): {"failed": row["failed"], "missing": row["missing"]}
        for row in counted.to_dict("records")
    }


def _summary(
    replicates: pd.DataFrame,
    own: PromptTables,
    apart: PromptTables,
    counts: tuple[int, int],
    design: str,
    levels: dict[tuple[Any, ...], Levels],
    human_prompts: int,
) -> dict[str, Any]:
    """The columns of one row, from its training replicates and their prompts."""
    n_inference, n_prompts = counts
    defined = replicates.dropna(subset=["mean"])
    metric, unit, groups = replicates["metric"].iloc[0], replicates["unit"].iloc[0], defined.index.tolist()
    runs = [] if design == "joint" else runs_of(defined, levels)
    found = _mean(own.table(groups), design, runs)
    prompts = Prompts(n_prompts, human_prompts)
    human, unpaired = to_human(metric, unit, apart.table(groups), prompts, design, runs)
    shared = n_prompts if unit == "set" or not groups else int(found.prompts.sum())
    notes = [*_notes(replicates, n_inference, n_prompts), *_left_out(shared, n_prompts), *unpaired, found.note]
    interval = found.interval
    return {
        "n_training": interval.n,
        "n_inference": n_inference,
        "n_prompts": n_prompts,
        "mean": interval.mean,
        "sd": interval.sd,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "decode_sd": _decode_sd(replicates),
        **human,
        "undefined": int((replicates["size"] - replicates["count"]).sum()),
        "design": described(design, runs),
        "note": "; ".join(filter(None, notes)),
    }


def _mean(table: Floats, design: str, runs: Sequence[Levels]) -> OverPrompts:
    if not len(table):  # defined in no training replicate
        return OverPrompts(t_interval([]), np.empty(0, dtype=bool), "")
    return over_prompts(design, runs, table)


def _left_out(shared: int, prompts: int) -> list[str]:
    return [f"over {shared} of {prompts} prompts, which have a value in every run"] if shared < prompts else []


def _decode_sd(replicates: pd.DataFrame) -> float:
    """Standard deviation over inference replicates; see `generation`."""
    first = replicates.iloc[0]
    if first["top_k"] == HUMAN or first["unit"] == "prompt":
        return math.nan
    if first["top_k"] == GREEDY:
        return 0.0 if replicates["count"].sum() else math.nan
    variances = int(replicates["variances"].sum())
    return math.sqrt(math.fsum(replicates["variance_sum"]) / variances) if variances else math.nan


def _expected(unit: str, n_inference: int, n_prompts: int) -> int:
    """How many values a training replicate has when the design is complete."""
    return {"text": n_inference * n_prompts, "prompt": n_prompts, "set": n_inference}[unit]


def _notes(replicates: pd.DataFrame, n_inference: int, n_prompts: int) -> list[str]:
    first, sizes = replicates.iloc[0], replicates["size"]
    expected = _expected(first["unit"], n_inference, n_prompts)
    if sizes.max() > max(expected, 1):
        where = " / ".join(str(first[factor]) for factor in KEY)
        raise ValueError(f"{where}: {sizes.max()} values in one training replicate, at most {expected} can be distinct")
    notes = [ONE_BY_CONSTRUCTION] if first["top_k"] == GREEDY else []
    if first["top_k"] == HUMAN:
        notes += [HUMAN_NOTE, *human_notes(first["unit"], sizes, expected)]
        expected = sizes.max()
    if sizes.min() < expected:
        notes.append(f"unbalanced: {sizes.min()} to {sizes.max()} of {expected} values per training replicate")
    empty = int((replicates["count"] == 0).sum())
    if empty:
        notes.append(f"not defined in {empty} of {len(replicates)} training replicates")
    return notes


def _empty_row(arm: tuple[Any, ...], fate: dict[str, int]) -> dict[str, Any]:
    unknown = dict.fromkeys(("mean", "sd", "ci_low", "ci_high", "decode_sd"), math.nan)
    unknown |= dict.fromkeys(("to_human", "to_human_low", "to_human_high"), math.nan)
    zero = dict.fromkeys(("n_training", "n_inference", "n_prompts", "undefined"), 0)
    named = {**dict(zip(GENERATION_ARM, arm, strict=True)), "metric": "", "unit": ""}
    return {**named, **zero, **unknown, **fate, "design": "", "note": "no cell of this arm gave a text"}
