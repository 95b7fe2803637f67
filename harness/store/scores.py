"""A user's own scores as tables of the store, so that a report can be made of runs that twodice has not made.

What the numbers mean is taken from the user: rows of one (task, model) are compared, and the same replicate in two
regimes is a pair. Replicates that have nothing in common must have different numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import UserError
from harness.identity import uid
from harness.regimes.kinds import KINDS, OTHER
from harness.store.regimes import REGIMES
from harness.store.score_columns import REPLICATE, ROLES, SETTING, UNMEASURED
from harness.store.score_file import place, read_scores
from harness.store.tables import COLUMNS, TABLES

_ARM = ["task", "model", "regime"]
_RUN = [*_ARM, *ROLES]
_VALUE = [*_RUN, "split", *SETTING, "prompt", "inference_replicate", "metric"]


@dataclass(frozen=True)
class Scores:
    """What score tables hold.

    Attributes:
        tables: the store's tables; those that scores cannot fill are empty.
        regimes: in the order of the files; the first is the reference.
    """

    tables: dict[str, pd.DataFrame]
    regimes: tuple[str, ...]


def load_scores(paths: Sequence[Path]) -> Scores:
    """The scores of some files as the store's tables.

    Raises:
        UserError: a file is wrong, a score stands twice, a run lacks a score that others of its arm have, or the
            replicate design is not clear.
    """
    read = [read_scores(path) for path in paths]
    kinds = {tuple(name for name in (REPLICATE, *ROLES) if name in rows) == (REPLICATE,) for rows in read}
    if len(kinds) > 1:
        raise UserError(f"--scores: one file has column '{REPLICATE}', another has role columns: give all the same")
    scores = pd.concat(read, ignore_index=True)
    joint = REPLICATE in scores
    for role in ROLES:
        found = scores[REPLICATE] if joint else scores.get(role, pd.Series(0, index=scores.index))
        scores[role] = found.fillna(0).astype("int64")
    _refuse_twice(scores)
    _refuse_gaps(scores[scores["top_k"].isna()])
    regimes = tuple(dict.fromkeys(scores["regime"]))
    scores = _numbered(scores.assign(design=_design(scores, joint)), joint)
    return Scores(_tables(scores, regimes), regimes)


def _refuse_twice(scores: pd.DataFrame) -> None:
    again = scores.duplicated(_VALUE)
    if again.any():
        same = scores.groupby(_VALUE, dropna=False, sort=False).ngroup()
        second = next(scores[again].itertuples())
        first = next(scores[same == same[again].iloc[0]].itertuples())
        raise UserError(
            f"{place(second)}: metric {second.metric} of regime {second.regime} is there already, with the same"
            f" replicate and factors ({place(first)})"
        )


def _refuse_gaps(scores: pd.DataFrame) -> None:
    """Refuses an arm whose runs do not have the same scores: a mean would be over other runs than its neighbour."""
    for key, arm in scores.groupby(_ARM, sort=False):
        runs = arm.groupby(list(ROLES), sort=False).ngroup()
        for (split, metric), rows in arm.groupby(["split", "metric"], sort=False):
            lacking = sorted(set(runs) - set(runs[rows.index]))
            if lacking:
                first = next(arm[runs == lacking[0]].itertuples())
                raise UserError(
                    f"{place(first)}: this run of {' / '.join(map(str, key))} has no {split}.{metric}, which others of"
                    " its arm have: complete it, or leave the run out"
                )


def _design(scores: pd.DataFrame, joint: bool) -> str:
    """The replicate design: what column `design` says, or joint for seeds, or what every arm's role levels are.

    Raises:
        UserError: the column says several or something else, or an arm is neither crossed nor isolated.
    """
    named = sorted(set(scores["design"]) - {""})
    allowed = ("joint",) if joint else ("crossed", "isolated")
    if len(named) > 1 or not set(named) <= set(allowed):
        raise UserError(f"--scores: column design holds {', '.join(named)} (allowed: {' or '.join(allowed)})")
    if joint or named:
        return allowed[0] if joint else named[0]
    arms = {key: set(arm[list(ROLES)].itertuples(index=False, name=None)) for key, arm in scores.groupby(_ARM)}
    if all(len(levels) == math.prod(len(set(role)) for role in zip(*levels, strict=True)) for levels in arms.values()):
        return "crossed"
    if all(sum(level > 0 for level in levels) <= 1 for arm in arms.values() for levels in arm):
        return "isolated"
    raise UserError(
        "--scores: some arm has not every combination of its roles' levels; if that is so because runs are missing,"
        " say so by a column design with 'crossed' in it"
    )


def _numbered(scores: pd.DataFrame, joint: bool) -> pd.DataFrame:
    """With the training replicate: the number given, or one number for each combination of role levels."""
    if not joint:
        scores[REPLICATE] = scores.groupby(list(ROLES), sort=True).ngroup()
    runs = scores[_RUN].drop_duplicates()
    runs = runs.assign(uid=[uid({"scores": list(map(str, run))}) for run in runs.itertuples(index=False, name=None)])
    return scores.merge(runs, on=_RUN, how="left", sort=False, validate="many_to_one")


def _tables(scores: pd.DataFrame, regimes: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    texts = scores["top_k"].notna()
    metrics = _text_metrics(scores[texts])
    training = _training(scores[~texts], scores[texts])
    tables = {name: pd.DataFrame({column: pd.Series(dtype=object) for column in COLUMNS[name]}) for name in TABLES}
    tables |= {"training": training, "cells": _cells(training, metrics), "regimes": _regimes(scores, regimes)}
    return {**tables, "generation_metrics": metrics} if len(metrics) else tables


def _training(rows: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """The table `training`; runs that have scores of texts only stand there once, without a metric."""
    only = texts[~texts["uid"].isin(rows["uid"])].drop_duplicates("uid")
    found = pd.concat([rows, only.assign(split="", metric=UNMEASURED, value=math.nan)], ignore_index=True)
    # What the learning rates were is not known: one for all, which no table tells.
    found = found.assign(learning_rate=0.0, repeat=0, forwards=math.nan)
    found = found.astype({REPLICATE: "Int64", "repeat": "Int64"})
    return found[COLUMNS["training"]]


def _text_metrics(rows: pd.DataFrame) -> pd.DataFrame:
    """The table `generation_metrics`: of a text, of a prompt over all inference replicates, or of a set of texts."""
    over_all = rows["inference_replicate"].isna()
    unit = pd.Series("text", index=rows.index).mask(over_all, "prompt").mask(rows["prompt"] == "", "set")
    cells = list(rows[["uid", *SETTING, "inference_replicate"]].itertuples(index=False, name=None))
    names = {cell: uid({"scores": list(map(str, cell))}) for cell in dict.fromkeys(cells)}
    found = rows.assign(unit=unit, training_uid=rows["uid"], uid=[names[cell] for cell in cells])
    found["uid"] = found["uid"].mask(over_all, "")
    return found.astype({REPLICATE: "Int64"})[COLUMNS["generation_metrics"]].reset_index(drop=True)


def _cells(training: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """The table `cells`: every run, and every setting and inference replicate of its texts."""
    runs = training.drop_duplicates("uid").assign(kind="training")
    texts = metrics[metrics["uid"] != ""].drop_duplicates("uid").assign(kind="generation", repeat=0)
    found: dict[str, Any] = {}
    for column in COLUMNS["cells"]:
        parts = [part[column] if column in part else pd.Series(None, index=part.index) for part in (runs, texts)]
        found[column] = [value for part in parts for value in part.tolist()]
    table = pd.DataFrame(found).assign(status="done", reason="", seconds=math.nan, environment=None, finished=None)
    whole = dict.fromkeys((REPLICATE, "repeat", "inference_replicate"), "Int64")
    return table.astype({**whole, **dict.fromkeys(SETTING[1:], "float64")})


def _regimes(scores: pd.DataFrame, regimes: tuple[str, ...]) -> pd.DataFrame:
    """The table `regimes`; what a regime is, is known only where column `regime_kind` says it.

    Raises:
        UserError: a kind is unknown, or a regime has two.
    """
    kinds = {str(name): sorted(set(rows) - {""}) for name, rows in scores.groupby("regime")["regime_kind"]}
    for name, found in kinds.items():
        if len(found) > 1 or not set(found) <= set(KINDS):
            allowed = ", ".join(KINDS)
            raise UserError(f"--scores: regime {name}: regime_kind is {', '.join(found)} (allowed: one of {allowed})")
    rows = [
        {"regime": name, "kind": (kinds[name] or [OTHER])[0], "reference": name == regimes[0], "definition": ""}
        for name in regimes
    ]
    return pd.DataFrame(rows).reindex(columns=REGIMES).astype({"weight_decay": float, "highest_rate": float})
