"""Blocks: all values of one metric of one task and model, as an array with one axis per factor.

Every statistic of the report is a function of a block: variance components of one arm, contrasts of two, effects of
all. What is not there is NaN.

Greedy texts (k = 1) ignore the decode role: their one text stands at every decode level, so that settings can be
compared level by level. Training replicates that are one cell by construction (rate 0 ignores the mask role) hold the
same values, and `cells` says so. Human texts were sampled by nobody and are in no block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.arms import TRAINING_ARM
from harness.analysis.designs import design_of, levels_of
from harness.analysis.factorial import Levels
from harness.analysis.generalization import finished, finished_runs
from harness.analysis.order import ordered
from harness.analysis.settings import GREEDY, HUMAN, SETTING
from harness.analysis.texts import Rows

Floats = NDArray[np.float64]
Setting = tuple[Any, ...]
NO_SETTING: Setting = ("", 1.0, 1.0, 0.0)
EXAMPLE = "example"
SPLIT = "split"


@dataclass(frozen=True)
class Block:
    """One metric of one task and model.

    Attributes:
        task, model, metric: names.
        split: of a training metric; empty for generated texts.
        unit: what one value belongs to: text, prompt, set; split (one value a run) or example (one a row of a split).
        regimes: the grid's regimes that have a value, in its order.
        settings: (top_k, temperature, top_p, min_p) of each decoding setting, greedy first; one empty setting for
            training metrics.
        replicates: training replicates, ascending.
        roles: of each regime and replicate the levels of the training roles; None where that run has no value.
        cells: of each regime and replicate the training cell's uid, or an empty string; equal where it is one cell.
        environments: of each regime and replicate the digest of the environment, or an empty string.
        design: joint, isolated or crossed.
        values: [regimes, settings, replicates, prompts, decode levels]. Prompts are texts' prompts or a split's
            examples; one where the unit has none. NaN: not there, or not defined.
    """

    task: str
    model: str
    split: str
    metric: str
    unit: str
    regimes: tuple[str, ...]
    settings: tuple[Setting, ...]
    replicates: tuple[int, ...]
    roles: tuple[tuple[Levels | None, ...], ...]
    cells: tuple[tuple[str, ...], ...]
    environments: tuple[tuple[str, ...], ...]
    design: str
    values: Floats

    @property
    def name(self) -> str:
        """For messages."""
        return " / ".join(filter(None, (self.task, self.model, self.split, self.metric)))


@dataclass(frozen=True)
class Runs:
    """The finished training cells of a task and model, by regime and replicate."""

    replicates: tuple[int, ...]
    cells: dict[tuple[str, int], str]
    roles: dict[tuple[str, int], Levels]
    environments: dict[str, str]
    design: str

    def grid(self, regimes: Sequence[str]) -> dict[str, Any]:
        """The fields `roles`, `cells` and `environments` of a block with these regimes."""
        keys = [[(regime, replicate) for replicate in self.replicates] for regime in regimes]
        cells = tuple(tuple(self.cells.get(key, "") for key in row) for row in keys)
        return {
            "replicates": self.replicates,
            "roles": tuple(tuple(self.roles.get(key) for key in row) for row in keys),
            "cells": cells,
            "environments": tuple(tuple(self.environments.get(uid, "") for uid in row) for row in cells),
            "design": self.design,
        }


def runs_by_problem(training: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str]) -> dict[tuple[str, str], Runs]:
    """The finished runs by (task, model); identical-seed repeats are left out.

    Raises:
        ValueError: see harness.analysis.generalization.finished.
    """
    values = finished_runs(training, cells, regimes)
    design = design_of(training)
    known = cells.dropna(subset=["environment"]) if "environment" in cells.columns else cells.iloc[:0]
    environments = {} if known.empty else dict(zip(known["uid"], known["environment"].astype(str), strict=True))
    once = values.drop_duplicates([*TRAINING_ARM, "training_replicate"])
    found = {}
    for (task, model), rows in once.groupby(["task", "model"], sort=False):
        keys = list(zip(rows["regime"].astype(str), rows["training_replicate"].astype(int), strict=True))
        found[str(task), str(model)] = Runs(
            tuple(sorted({replicate for _, replicate in keys})),
            dict(zip(keys, rows["uid"], strict=True)),
            dict(zip(keys, levels_of(rows), strict=True)),
            environments,
            design,
        )
    return found


def training_blocks(training: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str]) -> Iterator[Block]:
    """A block of unit `split` per task, model, split and metric: one value a run.

    Raises:
        ValueError: see harness.analysis.generalization.finished.
    """
    runs = runs_by_problem(training, cells, regimes)
    values = ordered(finished(training, cells, regimes), ["task", "model", "split", "metric"], regimes)
    for (task, model, split, metric), rows in values.groupby(["task", "model", "split", "metric"], sort=False):
        mine = runs[str(task), str(model)]
        names = [regime for regime in regimes if regime in set(rows["regime"])]
        array = np.full((len(names), 1, len(mine.replicates), 1, 1), np.nan)
        at = (
            rows["regime"].map(names.index).to_numpy(),
            rows["training_replicate"].map(mine.replicates.index).to_numpy(),
        )
        array[at[0], 0, at[1], 0, 0] = rows["value"].to_numpy(dtype=float)
        yield Block(
            str(task), str(model), str(split), str(metric), SPLIT, tuple(names), (NO_SETTING,), values=array,
            **mine.grid(names),
        )  # fmt: skip


def example_blocks(
    training: pd.DataFrame, predictions: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str]
) -> Iterator[Block]:
    """Blocks of unit `example` of `loss` and, in classification, `accuracy`: the prompt axis holds a split's rows.

    The loss of a language model's row is weighted by its number of targets, so that the mean over rows is the loss of
    the split. Splits whose rows are not the same in all runs (a `sample` role draws them) are left out.

    Raises:
        ValueError: a row is there twice; see also harness.analysis.generalization.finished.
    """
    if predictions.empty:
        return
    predictions = predictions.sort_values(["uid", "split", "example"], kind="stable", ignore_index=True)
    twice = predictions.duplicated(["uid", "split", "example"])
    if twice.any():
        raise ValueError(f"table 'predictions' has a row of cell {predictions.loc[twice, 'uid'].iloc[0]} twice")
    by_uid = {str(uid): rows for uid, rows in predictions.groupby("uid", sort=False)}
    for (task, model), runs in runs_by_problem(training, cells, regimes).items():
        names = [regime for regime in regimes if any(regime == key[0] for key in runs.cells)]
        known = {key: by_uid[uid] for key, uid in runs.cells.items() if uid in by_uid}
        splits = pd.DataFrame({"split": [name for rows in known.values() for name in rows["split"].unique()]})
        for split in ordered(splits.drop_duplicates(), ["split"], regimes)["split"]:
            parts = {key: rows[rows["split"] == split] for key, rows in known.items()}
            first = next(iter(parts.values()))["example"].to_numpy()
            if any(not np.array_equal(part["example"].to_numpy(), first) for part in parts.values()):
                continue
            for metric, column in _example_metrics(parts).items():
                array = np.full((len(names), 1, len(runs.replicates), len(first), 1), np.nan)
                for (regime, replicate), values in column.items():
                    array[names.index(regime), 0, runs.replicates.index(replicate), :, 0] = values
                yield Block(
                    task, model, str(split), metric, EXAMPLE, tuple(names), (NO_SETTING,), values=array,
                    **runs.grid(names),
                )  # fmt: skip


Key = tuple[str, int]


def _example_metrics(parts: dict[Key, pd.DataFrame]) -> dict[str, dict[Key, Floats]]:
    """Per metric and run the values of a split's rows."""
    found: dict[str, dict[Key, Floats]] = {"loss": {key: _losses(rows) for key, rows in parts.items()}}
    if all(rows["label"].notna().all() and rows["prediction"].notna().all() for rows in parts.values()):
        found["accuracy"] = {
            key: (rows["label"].to_numpy() == rows["prediction"].to_numpy()).astype(float)
            for key, rows in parts.items()
        }
    return found


def _losses(rows: pd.DataFrame) -> Floats:
    loss = rows["loss"].to_numpy(dtype=float)
    weight = rows["targets"].to_numpy(dtype=float)
    return loss if np.isnan(weight).any() else np.asarray(loss * weight / weight.mean())


def text_blocks(rows: Rows, runs: dict[tuple[str, str], Runs], regimes: Sequence[str]) -> Iterator[Block]:
    """A block per task, model, metric and unit of generated texts (text, prompt, set).

    Args:
        rows: what `harness.analysis.checked.checked_rows` gives.
        runs: what `runs_by_problem` gives.
        regimes: the grid's regimes, in its order.

    Raises:
        ValueError: a value is there twice, or texts belong to a run that table `training` does not have.
    """
    groups = rows.groups.assign(number=np.arange(len(rows.groups)))
    groups = groups[groups["top_k"] != HUMAN]
    order = np.argsort(rows.group, kind="stable")
    bounds = np.searchsorted(rows.group[order], np.arange(len(rows.groups) + 1))
    sorted_groups = ordered(groups, ["task", "model", "metric", "unit"], regimes)
    for (task, model, metric, unit), some in sorted_groups.groupby(["task", "model", "metric", "unit"], sort=False):
        mine = runs[str(task), str(model)]
        names = [regime for regime in regimes if regime in set(some["regime"])]
        settings = _settings(some)
        picked = [order[bounds[number] : bounds[number + 1]] for number in some["number"]]
        array = _filled(rows, picked, _places(some, names, settings, mine), mine)
        _fill_copies(array, names, mine)
        for place, setting in enumerate(settings):
            if setting[0] == GREEDY and array.shape[4] > 1:
                array[:, place] = array[:, place, :, :, :1]
        if np.isnan(array).all():  # what the metric needs is not there, for example a base model
            continue
        yield Block(
            str(task), str(model), "", str(metric), str(unit), tuple(names), settings, values=array, **mine.grid(names)
        )


def _settings(some: pd.DataFrame) -> tuple[Setting, ...]:
    once = ordered(some.drop_duplicates(SETTING), SETTING, [])
    return tuple((str(k), float(t), float(p), float(m)) for k, t, p, m in once[SETTING].itertuples(index=False))


def _places(
    some: pd.DataFrame, regimes: Sequence[str], settings: tuple[Setting, ...], runs: Runs
) -> list[tuple[int, int, int]]:
    named = some[["regime", "training_replicate", *SETTING]].itertuples(index=False, name=None)
    places = []
    for regime, replicate, k, t, p, m in named:
        if (regime, replicate) not in runs.cells:
            raise ValueError(f"{regime}, training replicate {replicate}: has texts, but no row in table 'training'")
        setting = settings.index((str(k), float(t), float(p), float(m)))
        places.append((regimes.index(regime), setting, runs.replicates.index(replicate)))
    return places


def _filled(rows: Rows, picked: Sequence[NDArray[Any]], places: Sequence[tuple[int, int, int]], runs: Runs) -> Floats:
    """The values of some groups of rows at their places; replicates without texts stay NaN."""
    every = np.concatenate(picked)
    where = np.repeat(np.array(places), [len(one) for one in picked], axis=0)
    _, prompt = np.unique(rows.prompt[every], return_inverse=True)
    _, level = np.unique(rows.level[every], return_inverse=True)
    regimes, settings, _ = where.max(axis=0) + 1
    shape = regimes, settings, len(runs.replicates), prompt.max() + 1, level.max() + 1
    at = np.ravel_multi_index((*where.T, prompt, level), shape)
    twice = np.bincount(at)[at] > 1
    if twice.any():
        first = rows.groups.iloc[rows.group[every[np.argmax(twice)]]]
        raise ValueError(f"table 'generation_metrics' has {first['metric']} of {first['training_uid']} twice")
    array = np.full(shape, np.nan)
    array.flat[at] = rows.value[every]
    return array


def _fill_copies(array: Floats, regimes: Sequence[str], runs: Runs) -> None:
    """Texts stand once per checkpoint; replicates that are the same cell get its values."""
    for row, regime in enumerate(regimes):
        first: dict[str, int] = {}
        for column, replicate in enumerate(runs.replicates):
            uid = runs.cells.get((regime, replicate), "")
            if uid and uid in first:
                array[row, :, column] = array[row, :, first[uid]]
            first.setdefault(uid, column)
