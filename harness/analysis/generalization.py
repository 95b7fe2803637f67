"""The table `generalization`: every split's metrics by regime, the gap to train and the difference to the reference.

The unit of every interval is the training replicate: one fine-tuning from its own draws. Identical-seed repeats
measure the noise floor and are left out of all means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import TRAINING_ARM, cells_of, fates
from harness.analysis.intervals import correlation, t_interval
from harness.analysis.order import check_regimes, ordered, require

TRAINING = [
    "uid",
    "task",
    "model",
    "regime",
    "learning_rate",
    "training_replicate",
    "repeat",
    "split",
    "metric",
    "value",
]
COLUMNS = [
    "task",
    "model",
    "regime",
    "split",
    "metric",
    "n",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "gap",
    "gap_low",
    "gap_high",
    "difference",
    "difference_low",
    "difference_high",
    "n_pairs",
    "pair_correlation",
    "failed",
    "diverged",
    "missing",
    "environments",
    "pairs_across_environments",
]
Sample = tuple[str, float]
_ORDER = ["task", "model", "regime", "split", "metric"]


def generalization(
    training: pd.DataFrame, cells: pd.DataFrame, *, reference: str, regimes: Sequence[str]
) -> pd.DataFrame:
    """One row per task, model, regime, split and metric, in the metric's own unit.

    `gap` is the mean over cells of value(split) - value(train); `difference` the mean over training replicates of
    value(regime) - value(reference), paired by replicate; NaN where there is nothing to compare with. All intervals
    are 95 % Student's t over training replicates. An arm whose cells all failed keeps its rows, with n = 0.

    Args:
        training: the store's table `training`; rows of cells that are not of kind `training` are left out.
        cells: the store's table `cells`.
        reference: the regime that the others are compared with.
        regimes: the grid's regimes, in its order.

    Raises:
        ValueError: a table lacks a column; a regime or cell is unknown; an arm mixes learning rates; two cells claim
            one replicate; a cell lacks a metric that its arm has; a value is not finite.
    """
    if reference not in regimes:
        raise ValueError(f"reference regime '{reference}' is not one of {', '.join(regimes)}")
    planned = cells_of(cells, "training", regimes)
    values = reported(training, cells, regimes)
    environments = _environments(cells)
    arms = dict(iter(values.groupby(TRAINING_ARM, sort=False)))
    rows: list[dict[str, Any]] = []
    for fate in fates(planned, TRAINING_ARM).to_dict("records"):
        key = tuple(fate[factor] for factor in TRAINING_ARM)
        other = arms.get((*key[:2], reference)) if key[2] != reference else None
        rows += _arm_rows(fate, arms.get(key), other, environments, _measures(values, *key[:2]))
    return ordered(pd.DataFrame(rows, columns=COLUMNS), _ORDER, regimes)


def reported(training: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str]) -> pd.DataFrame:
    """The rows of `training` that the report is about: training cells without repeats, each cell once an arm.

    Replicates that are one cell by construction (equal identity) are one number, not several that agree.

    Raises:
        ValueError: see `generalization`.
    """
    require(training, "training", TRAINING)
    check_regimes(training, "training", regimes)
    require(cells, "cells", ["uid", "kind", "status"])
    unknown = sorted(set(training["uid"]) - set(cells["uid"]))
    if unknown:
        raise ValueError(f"table 'training' has cell {unknown[0]}, which table 'cells' does not list")
    done = set(cells.loc[(cells["kind"] == "training") & (cells["status"] == "done"), "uid"])
    chosen = training[training["uid"].isin(done) & (training["repeat"] == 0)]
    chosen = chosen.sort_values([*TRAINING_ARM, "training_replicate", "uid", "split", "metric"], kind="stable")
    chosen = chosen.drop_duplicates([*TRAINING_ARM, "uid", "split", "metric"])
    for key, rows in chosen.groupby(TRAINING_ARM, sort=False):
        _check_arm(" / ".join(map(str, key)), rows)
    repeats = set(training.loc[training["repeat"] != 0, "uid"])
    silent = sorted(done - set(chosen["uid"]) - repeats)
    if silent:
        raise ValueError(f"cell {silent[0]} is done but has no row in table 'training'")
    return chosen


def _check_arm(name: str, rows: pd.DataFrame) -> None:
    rates = sorted(set(rows["learning_rate"]))
    if len(rates) > 1:
        raise ValueError(f"{name}: learning rates {rates} in one arm; select one on the validation split first")
    owners = rows.groupby("training_replicate")["uid"].nunique()
    if (owners > 1).any():
        raise ValueError(f"{name}: training replicate {owners.index[owners > 1][0]} is claimed by several cells")
    n = rows["uid"].nunique()
    for (split, metric), sub in rows.groupby(["split", "metric"]):
        if len(sub) != n:
            raise ValueError(f"{name}: {split}.{metric} is there for {len(sub)} of {n} cells")
        for uid, value in zip(sub["uid"], sub["value"], strict=True):
            if not math.isfinite(value):
                raise ValueError(f"{name}: {split}.{metric} of cell {uid} is {value}")


def _environments(cells: pd.DataFrame) -> dict[str, str]:
    if "environment" not in cells.columns:
        return {}
    known = cells.dropna(subset=["environment"])
    return dict(zip(known["uid"], known["environment"].astype(str), strict=True))


def _measures(values: pd.DataFrame, task: str, model: str) -> list[tuple[str, str]]:
    """The (split, metric) pairs that an arm without any value would have had, read off its neighbours."""
    for rows in (values[(values["task"] == task) & (values["model"] == model)], values[values["task"] == task]):
        if len(rows):
            return sorted(set(zip(rows["split"], rows["metric"], strict=True)))
    return [("", "")]


def _arm_rows(
    fate: dict[Any, Any],
    values: pd.DataFrame | None,
    reference: pd.DataFrame | None,
    environments: dict[str, str],
    measures: list[tuple[str, str]],
) -> list[dict[str, Any]]:
    if values is None:
        return [
            {**fate, **_summary(pd.DataFrame(columns=TRAINING), None, None, environments), "split": s, "metric": m}
            for s, m in measures
        ]
    rows = []
    for (split, metric), here in values.groupby(["split", "metric"]):
        train = values[(values["split"] == "train") & (values["metric"] == metric)] if split != "train" else None
        other = None
        if reference is not None:
            other = reference[(reference["split"] == split) & (reference["metric"] == metric)]
        rows.append({**fate, **_summary(here, train, other, environments), "split": split, "metric": metric})
    return rows


def _summary(
    here: pd.DataFrame, train: pd.DataFrame | None, reference: pd.DataFrame | None, environments: dict[str, str]
) -> dict[str, Any]:
    plain = t_interval(here["value"])
    gap = t_interval(mine - theirs for (_, mine), (_, theirs) in _paired(here, train, "uid"))
    pairs = _paired(here, reference, "training_replicate")
    difference = t_interval(mine - theirs for (_, mine), (_, theirs) in pairs)
    return {
        "n": plain.n,
        "mean": plain.mean,
        "sd": plain.sd,
        "ci_low": plain.low,
        "ci_high": plain.high,
        "gap": gap.mean,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "difference": difference.mean,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "n_pairs": difference.n,
        "pair_correlation": correlation([mine for (_, mine), _ in pairs], [theirs for _, (_, theirs) in pairs]),
        "environments": len({environments[uid] for uid in here["uid"] if uid in environments}),
        "pairs_across_environments": sum(environments.get(a) != environments.get(b) for (a, _), (b, _) in pairs),
    }


def _paired(here: pd.DataFrame, other: pd.DataFrame | None, by: str) -> list[tuple[Sample, Sample]]:
    """(uid, value) of both sides, matched by `by`, which names a row on each side only once."""
    if other is None:
        return []
    theirs = _samples(other, by)
    return [(sample, theirs[name]) for name, sample in _samples(here, by).items() if name in theirs]


def _samples(rows: pd.DataFrame, by: str) -> dict[Any, Sample]:
    samples = dict(zip(rows[by], zip(rows["uid"], rows["value"], strict=True), strict=True))
    if len(samples) != len(rows):
        raise ValueError(f"several rows of one split and metric have the same {by}")
    return samples
