"""The table `generation`: what sampled texts are like, by regime and decoding setting.

The unit of every interval is the training replicate: the texts of one checkpoint are averaged first, over prompts and
inference replicates. An interval over texts would be far too narrow, because texts of one checkpoint are not
independent draws of the training die. Nor are runs of a crossed or isolated design: see harness/analysis/designs.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import GENERATION_ARM, TRAINING_ARM, cells_of, fates
from harness.analysis.designs import described, design_of, estimate, levels_of
from harness.analysis.factorial import Levels
from harness.analysis.order import check_regimes, ordered, require, top_k_rank

METRICS = ["training_uid", "training_replicate", "inference_replicate", *GENERATION_ARM]
METRICS += ["unit", "prompt", "metric", "value"]
COLUMNS = [*GENERATION_ARM, "metric", "unit", "n_training", "n_inference", "n_prompts", "mean", "sd", "ci_low"]
COLUMNS += ["ci_high", "undefined", "failed", "missing", "design", "note"]
_KEY = [*GENERATION_ARM, "metric", "unit"]
UNITS = ("text", "prompt", "set")
GREEDY = "one inference replicate by construction (k = 1 is greedy)"


def generation(
    metrics: pd.DataFrame,
    cells: pd.DataFrame,
    *,
    regimes: Sequence[str],
    repeats: frozenset[str] = frozenset(),
    training: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per task, model, regime, top_k, temperature, metric and unit.

    mean, sd and 95 % interval (of the replicate design, as in `generalization`) are over training replicates of the
    mean over prompts and inference replicates. Values that are NaN (not defined on a text, for example because it is
    too short) are left out and counted in `undefined`; `note` names unequal numbers of texts and a crossed design
    that lacks a run. An arm without any value keeps a row.

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
    require(metrics, "generation_metrics", METRICS)
    check_regimes(metrics, "generation_metrics", regimes)
    used = metrics[~metrics["training_uid"].isin(repeats)]
    _check_factors(used, cells)
    used = _each_checkpoint_once(used)
    counts = _replicates_and_prompts(used)
    outcomes = _fates(cells, regimes)
    per_replicate = _per_replicate(used)
    design, levels = _levels(training)
    rows = [
        {
            **dict(zip(_KEY, key, strict=True)),
            **_summary(group, counts[key[:5]], design, levels),
            **outcomes.get(key[:5], _NO_FATE),
        }
        for key, group in per_replicate.groupby(_KEY, sort=False)
    ]
    rows += [_empty_row(arm, fate) for arm, fate in outcomes.items() if arm not in counts]
    return ordered(pd.DataFrame(rows, columns=COLUMNS), _KEY, regimes)


_NO_FATE = {"failed": 0, "missing": 0}


def _levels(training: pd.DataFrame | None) -> tuple[str, dict[tuple[Any, ...], Levels]]:
    """The design, and the role levels by arm and training replicate."""
    if training is None or training.empty:
        return "joint", {}
    runs = training[training["repeat"] == 0].drop_duplicates([*TRAINING_ARM, "training_replicate"])
    keys = runs[[*TRAINING_ARM, "training_replicate"]].itertuples(index=False, name=None)
    return design_of(training), dict(zip(keys, levels_of(runs), strict=True))


def _check_factors(metrics: pd.DataFrame, cells: pd.DataFrame) -> None:
    """An empty factor would drop its rows from every group, and an unknown checkpoint has no cell to answer for it."""
    for column in (*_KEY, "training_replicate", "training_uid"):
        if metrics[column].isna().any():
            raise ValueError(f"table 'generation_metrics' has rows without {column}")
    unknown = sorted(set(metrics["training_uid"].unique()) - set(cells["uid"]))
    if unknown:
        raise ValueError(f"table 'generation_metrics' has checkpoint {unknown[0]}, which table 'cells' does not list")
    strange = sorted(set(metrics["unit"].unique()) - set(UNITS))
    if strange:
        raise ValueError(f"table 'generation_metrics' has unit '{strange[0]}'; units are {', '.join(UNITS)}")


def _each_checkpoint_once(metrics: pd.DataFrame) -> pd.DataFrame:
    """Replicates that are one checkpoint by construction count once; two checkpoints in one replicate are refused."""
    origin = metrics[[*GENERATION_ARM, "training_replicate", "training_uid"]].drop_duplicates()
    claimed = origin.duplicated([*GENERATION_ARM, "training_replicate"], keep=False)
    if claimed.any():
        first = origin[claimed].iloc[0]
        where = f"{first['task']} / {first['model']} / {first['regime']}"
        raise ValueError(f"{where}: training replicate {first['training_replicate']} is claimed by several checkpoints")
    origin = origin.sort_values("training_replicate", kind="stable")
    extra = origin[origin.duplicated([*GENERATION_ARM, "training_uid"])]
    if extra.empty:
        return metrics
    index = [*GENERATION_ARM, "training_replicate"]
    drop = pd.MultiIndex.from_frame(metrics[index]).isin(pd.MultiIndex.from_frame(extra[index]))
    return metrics[~drop]


def _replicates_and_prompts(metrics: pd.DataFrame) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Per arm: the number of inference replicates and of prompts of its texts."""
    grouped = metrics.assign(prompt=metrics["prompt"].replace("", pd.NA)).groupby(GENERATION_ARM, sort=False)
    counted = grouped.agg(inference=("inference_replicate", "nunique"), prompts=("prompt", "nunique"))
    counts = {key: (int(i), int(p)) for key, i, p in counted.itertuples(name=None)}
    for arm, (inference, _) in counts.items():
        if top_k_rank(arm[3]) == 1 and inference > 1:
            raise ValueError(f"{' / '.join(map(str, arm[:3]))}: k = 1 is greedy, but has {inference} replicates")
    return counts


def _fates(cells: pd.DataFrame, regimes: Sequence[str]) -> dict[tuple[Any, ...], dict[str, int]]:
    counted = fates(cells_of(cells, "generation", regimes), GENERATION_ARM)
    return {
        tuple(row[factor] for factor in GENERATION_ARM): {"failed": row["failed"], "missing": row["missing"]}
        for row in counted.to_dict("records")
    }


def _per_replicate(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, metric, unit and training replicate: the mean, and how many values it is made of."""
    infinite = metrics["value"].isin([math.inf, -math.inf])
    if infinite.any():
        first = metrics[infinite].iloc[0]
        raise ValueError(f"{first['metric']} of prompt '{first['prompt']}', cell {first['training_uid']} is infinite")
    grouped = metrics.groupby([*_KEY, "training_replicate"], sort=False)["value"]
    means = grouped.agg(["size", "count"]).assign(mean=grouped.agg(_mean)).reset_index()
    return means.sort_values("training_replicate", kind="stable")


def _mean(values: pd.Series[float]) -> float:
    """Mean of the defined values, rounded once, so that it does not depend on their order or on the machine."""
    defined = values.dropna().tolist()
    return math.fsum(defined) / len(defined) if defined else math.nan


def _summary(
    replicates: pd.DataFrame, counts: tuple[int, int], design: str, levels: dict[tuple[Any, ...], Levels]
) -> dict[str, Any]:
    """The columns of one row, from the means of its training replicates."""
    n_inference, n_prompts = counts
    first = replicates.iloc[0]
    defined = replicates.dropna(subset=["mean"])
    runs = [] if design == "joint" else _runs(defined, levels)
    interval, lost = estimate(design, runs, defined["mean"])
    return {
        "n_training": interval.n,
        "n_inference": n_inference,
        "n_prompts": n_prompts,
        "mean": interval.mean,
        "sd": interval.sd,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "undefined": int((replicates["size"] - replicates["count"]).sum()),
        "design": described(design, runs),
        "note": "; ".join(
            [*_notes(replicates, _expected(first["unit"], n_inference, n_prompts)), *filter(None, [lost])]
        ),
    }


def _runs(replicates: pd.DataFrame, levels: dict[tuple[Any, ...], Levels]) -> list[Levels]:
    """The role levels of every training replicate of an arm.

    Raises:
        ValueError: the table `training` has no such replicate.
    """
    keys = list(replicates[[*TRAINING_ARM, "training_replicate"]].itertuples(index=False, name=None))
    unknown = [key for key in keys if key not in levels]
    if unknown:
        raise ValueError(
            f"{' / '.join(map(str, unknown[0]))}: texts of a replicate that table 'training' does not have"
        )
    return [levels[key] for key in keys]


def _expected(unit: str, n_inference: int, n_prompts: int) -> int:
    """How many values a training replicate has when the design is complete."""
    return {"text": n_inference * n_prompts, "prompt": n_prompts, "set": n_inference}[unit]


def _notes(replicates: pd.DataFrame, expected: int) -> list[str]:
    notes = []
    first, sizes = replicates.iloc[0], replicates["size"]
    if sizes.max() > max(expected, 1):
        where = " / ".join(str(first[factor]) for factor in _KEY)
        raise ValueError(f"{where}: {sizes.max()} values in one training replicate, at most {expected} can be distinct")
    if top_k_rank(first["top_k"]) == 1:
        notes.append(GREEDY)
    if sizes.min() < expected:
        notes.append(f"unbalanced: {sizes.min()} to {sizes.max()} of {expected} values per training replicate")
    empty = int((replicates["count"] == 0).sum())
    if empty:
        notes.append(f"not defined in {empty} of {len(replicates)} training replicates")
    return notes


def _empty_row(arm: tuple[Any, ...], fate: dict[str, int]) -> dict[str, Any]:
    unknown = dict.fromkeys(("mean", "sd", "ci_low", "ci_high"), math.nan)
    zero = dict.fromkeys(("n_training", "n_inference", "n_prompts", "undefined"), 0)
    named = {**dict(zip(GENERATION_ARM, arm, strict=True)), "metric": "", "unit": ""}
    return {**named, **zero, **unknown, **fate, "design": "", "note": "no cell of this arm gave a text"}
