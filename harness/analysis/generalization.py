"""The table `generalization`: every split's metrics by regime, the gap to train and the difference to the reference.

The unit is the training replicate: one fine-tuning from its own draws. What interval its means have depends on the
replicate design (harness/analysis/designs.py). Identical-seed repeats measure the noise floor and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import TRAINING_ARM, cells_of, fates
from harness.analysis.designs import described, design_of, estimate, levels_of
from harness.analysis.directions import direction
from harness.analysis.factorial import ROLES
from harness.analysis.intervals import correlation, share_interval
from harness.analysis.multiplicity import holm
from harness.analysis.order import check_regimes, ordered, require
from harness.analysis.pairs import by_levels, matched
from harness.analysis.wins import win_columns
from harness.evaluation.described import MEMORISED
from harness.store.curves import STEPS_TO_LOSS
from harness.store.score_columns import UNMEASURED

TRAINING = [
    "uid",
    "task",
    "model",
    "regime",
    "learning_rate",
    "training_replicate",
    *ROLES,
    "repeat",
    "forwards",
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
    "undefined",
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
    "p",
    "p_adjusted",
    "better",
    "better_low",
    "better_high",
    "reading",
    "failed",
    "failure_rate",
    "failure_low",
    "failure_high",
    "diverged",
    "missing",
    "cost",
    "environments",
    "pairs_across_environments",
    "design",
    "note",
]
_ORDER = ["task", "model", "regime", "split", "metric"]


def generalization(
    training: pd.DataFrame, cells: pd.DataFrame, *, reference: str, regimes: Sequence[str]
) -> pd.DataFrame:
    """One row per task, model, regime, split and metric, in the metric's own unit.

    A run that never reached the loss of `steps-to-loss-X` has no number of steps: it counts in `undefined` and not in
    `n`, and mean and difference are of the runs (pairs) that reached it, so they tell too few steps.

    `failure_rate` is the share of runs that diverged among those that came to an end (an error is no result), with
    its exact interval in a joint design (Clopper and Pearson 1934, Biometrika 26:4), whose runs are independent.

    `cost` is how many forward passes of the model an example costs in one training step (R-Drop: 2); NaN where nobody
    knows (a user's scores).

    `gap` is the mean over cells of value(split) - value(train); `difference` the mean over training replicates of
    value(regime) - value(reference), paired by replicate (that is, by the levels of the training roles); NaN where
    there is nothing to compare with. All intervals are 95 %: Student's t over training replicates in a joint design,
    over the levels of the roles in a crossed one (`crossed_interval`), none in an isolated one, and none in a crossed
    one that lacks a run (`note` says so). They are given the split's examples; table `contrasts` has the difference
    over new examples, too. An arm whose cells all failed keeps its rows, with n = 0.

    `p` is of the paired difference, `p_adjusted` Holm's over the regimes of one task, model, split and metric; `better`
    the share of pairs in which the regime beats the reference (of a metric without a direction: is larger), with its
    exact interval and its reading (harness.analysis.wins), in a joint design.

    Args:
        training: the store's table `training`; rows of cells that are not of kind `training` are left out.
        cells: the store's table `cells`.
        reference: the regime that the others are compared with.
        regimes: the grid's regimes, in its order.

    Raises:
        ValueError: a table lacks a column; a regime or cell is unknown; an arm mixes learning rates; two cells claim
            one replicate; a cell lacks a metric that its arm has; a value is not finite (undefined apart).
    """
    if reference not in regimes:
        raise ValueError(f"reference regime '{reference}' is not one of {', '.join(regimes)}")
    planned = cells_of(cells, "training", regimes)
    design = design_of(training)
    values = finished(training, cells, regimes)
    environments = _environments(cells)
    counted = training["forwards"].notna().all()  # in a user's scores nobody counted the runs that failed
    arms = dict(iter(values.groupby(TRAINING_ARM, sort=False)))
    rows: list[dict[str, Any]] = []
    for fate in fates(planned, TRAINING_ARM).to_dict("records"):
        fate = dict(fate) | dict(failure_rate(int(fate["diverged"]), int(fate["done"]) if counted else 0, design))
        key = tuple(fate[factor] for factor in TRAINING_ARM)
        if fate["done"] and key not in arms:  # a user's runs of which only texts were scored
            continue
        other = arms.get((*key[:2], reference)) if key[2] != reference else None
        rows += _arm_rows(fate, arms.get(key), other, design, environments, _measures(values, *key[:2]))
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"p": float})
    for _, members in table.groupby(["task", "model", "split", "metric"], sort=False):
        table.loc[members.index, "p_adjusted"], _ = holm(members["p"])
    return ordered(table, _ORDER, regimes)


def reported(training: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str]) -> pd.DataFrame:
    """The rows of `training` that the report is about: training cells without repeats, each cell once an arm.

    Replicates that are one cell by construction (equal identity) are one number, not several that agree.

    Raises:
        ValueError: see `generalization`.
    """
    return _once(finished(training, cells, regimes))


def finished(training: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str]) -> pd.DataFrame:
    """As `reported`, but with a row for every replicate: replicates that are one cell have equal `uid` and value.

    Raises:
        ValueError: see `generalization`.
    """
    runs = finished_runs(training, cells, regimes)
    return runs[runs["metric"] != UNMEASURED]


def finished_runs(training: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str]) -> pd.DataFrame:
    """As `finished`, with the rows UNMEASURED of runs that have scores of texts only.

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
    for key, rows in chosen.groupby(TRAINING_ARM, sort=False):
        _check_arm(" / ".join(map(str, key)), _once(rows))
    repeats = set(training.loc[training["repeat"] != 0, "uid"])
    silent = sorted(done - set(chosen["uid"]) - repeats)
    if silent:
        raise ValueError(f"cell {silent[0]} is done but has no row in table 'training'")
    return chosen


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """Each cell once an arm: under its first replicate."""
    return rows.drop_duplicates([*TRAINING_ARM, "uid", "split", "metric"])


def _check_arm(name: str, rows: pd.DataFrame) -> None:
    rates = sorted(set(rows["learning_rate"]))
    if len(rates) > 1:
        raise ValueError(f"{name}: learning rates {rates} in one arm; select one on the validation split first")
    owners = rows.groupby("training_replicate")["uid"].nunique()
    if (owners > 1).any():
        raise ValueError(f"{name}: training replicate {owners.index[owners > 1][0]} is claimed by several cells")
    n = rows["uid"].nunique()
    for (split, metric), sub in rows[rows["metric"] != UNMEASURED].groupby(["split", "metric"]):
        if len(sub) != n:
            raise ValueError(f"{name}: {split}.{metric} is there for {len(sub)} of {n} cells")
        for uid, value in zip(sub["uid"], sub["value"], strict=True):
            if not math.isfinite(value) and not (may_be_undefined(str(metric)) and math.isnan(value)):
                raise ValueError(f"{name}: {split}.{metric} of cell {uid} is {value}")


def may_be_undefined(metric: str) -> bool:
    """Whether NaN is a result of this metric and not a mistake: a loss never reached, no noise to memorise."""
    return metric.startswith(STEPS_TO_LOSS) or metric == MEMORISED


def failure_rate(diverged: int, done: int, design: str) -> dict[str, float]:
    """The columns of the failed-run rate; NaN where nothing came to an end."""
    total = diverged + done
    low, high = share_interval(diverged, total) if total and design == "joint" else (math.nan, math.nan)
    rate = diverged / total if total else math.nan
    return {"failure_rate": rate, "failure_low": low, "failure_high": high}


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
    design: str,
    environments: dict[str, str],
    measures: list[tuple[str, str]],
) -> list[dict[str, Any]]:
    if values is None:
        nothing = _summary(pd.DataFrame(columns=TRAINING), None, None, design, environments)
        return [{**fate, **nothing, "undefined": 0, "split": split, "metric": metric} for split, metric in measures]
    rows = []
    for (split, metric), found in values.groupby(["split", "metric"]):
        here = found[found["value"].notna()]
        undefined = len(_once(found)) - len(_once(here))
        train = values[(values["split"] == "train") & (values["metric"] == metric)] if split != "train" else None
        other = None
        if reference is not None:
            other = reference[(reference["split"] == split) & (reference["metric"] == metric)]
            other = other[other["value"].notna()]
        numbers = {**_summary(here, train, other, design, environments), "undefined": undefined}
        rows.append({**fate, **numbers, "split": split, "metric": metric})
    return rows


def _summary(
    everything: pd.DataFrame,
    train: pd.DataFrame | None,
    reference: pd.DataFrame | None,
    design: str,
    environments: dict[str, str],
) -> dict[str, Any]:
    here = _once(everything)
    levels = levels_of(here)
    plain, note = estimate(design, levels, here["value"])
    gaps = matched(here, None if train is None else _once(train), "uid")
    gap, _ = estimate(design, [mine.levels for mine, _ in gaps], [mine.value - theirs.value for mine, theirs in gaps])
    return {
        "n": plain.n,
        "mean": plain.mean,
        "sd": plain.sd,
        "ci_low": plain.low,
        "ci_high": plain.high,
        "gap": gap.mean,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "cost": int(here["forwards"].max()) if here["forwards"].notna().any() else math.nan,
        "environments": len({environments[uid] for uid in here["uid"] if uid in environments}),
        "design": described(design, levels),
        **_difference(everything, reference, design, environments, note),
    }


def _difference(
    here: pd.DataFrame, reference: pd.DataFrame | None, design: str, environments: dict[str, str], note: str
) -> dict[str, Any]:
    """The columns of the paired difference."""
    pairs = by_levels(here, reference)
    levels = [mine.levels for mine, _ in pairs]
    difference, lost = estimate(design, levels, [mine.value - theirs.value for mine, theirs in pairs])
    mine_values, their_values = [mine.value for mine, _ in pairs], [theirs.value for _, theirs in pairs]
    return {
        "difference": difference.mean,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "n_pairs": difference.n,
        "pair_correlation": math.nan if design == "isolated" else correlation(mine_values, their_values),
        "p": difference.p,
        **win_columns(mine_values, their_values, direction(str(here["metric"].iloc[0])) if pairs else "", design),
        "pairs_across_environments": sum(environments.get(a.uid) != environments.get(b.uid) for a, b in pairs),
        "note": "; ".join([*filter(None, [note]), *([f"difference: {lost}"] if lost else [])]),
    }
