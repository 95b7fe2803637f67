"""The arms of a published number of generated texts: one regime's checkpoints at one decoding setting each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.arms import GENERATION_ARM, TRAINING_ARM, cells_of, fates
from harness.analysis.checked import checked_rows
from harness.analysis.designs import replicate_levels, runs_of
from harness.analysis.factorial import Levels
from harness.analysis.published_arms import Arm, Run
from harness.analysis.settings import HUMAN, setting_name
from harness.analysis.texts import METRICS, per_replicate, whole_sets
from harness.request import Setting
from harness.spec.published_forms import OnTexts, Published


@dataclass(frozen=True)
class Texts:
    """What the store says of texts.

    Attributes:
        means: a row per arm, metric, unit and training replicate (harness.analysis.texts.per_replicate).
        cells: what became of the generation cells of every arm (harness.analysis.arms.fates).
        trained: the same of the training cells.
        design, levels: of the training replicates.
    """

    means: pd.DataFrame
    cells: pd.DataFrame
    trained: pd.DataFrame
    design: str
    levels: dict[tuple[Any, ...], Levels]


def texts_of(
    numbers: Iterable[Published],
    metrics: pd.DataFrame | None,
    training: pd.DataFrame,
    cells: pd.DataFrame,
    regimes: Sequence[str],
) -> Texts:
    """The texts' values of the metrics that some numbers name.

    Raises:
        ValueError: the tables contradict themselves; see harness.analysis.generation.
    """
    if metrics is None or metrics.empty:
        metrics = pd.DataFrame(columns=METRICS)
    named = {number.metric for number in numbers if isinstance(number, OnTexts)}
    # The sizes of the sets of human texts are seen in the human texts.
    chosen = metrics[metrics["metric"].isin(named) | (metrics["top_k"] == HUMAN)] if named else metrics.iloc[:0]
    repeats = frozenset(training.loc[training["repeat"] != 0, "uid"])
    means = per_replicate(whole_sets(checked_rows(chosen, cells, regimes, repeats)))
    planned, trained = cells_of(cells, "generation", regimes), cells_of(cells, "training", regimes)
    design, levels = replicate_levels(training)
    return Texts(means, fates(planned, GENERATION_ARM), fates(trained, TRAINING_ARM), design, levels)


def text_arms(number: OnTexts, texts: Texts) -> dict[str, Arm]:
    """The arms that the number names, by the name of their setting, in its order."""
    named = [(setting_name(**setting.factors), setting) for setting in number.settings]
    return {name: _arm(number, name, setting, texts) for name, setting in named}


def _arm(number: OnTexts, name: str, setting: Setting, texts: Texts) -> Arm:
    trained = {"task": number.task, "model": number.model, "regime": number.regime}
    factors = {**trained, **setting.factors}
    planned, fate = _of(texts.cells, factors), _of(texts.trained, trained)
    chosen = _of(texts.means, {**factors, "metric": number.metric, "unit": number.unit})
    levels = runs_of(chosen, texts.levels) if texts.design != "joint" else [()] * len(chosen)
    runs = map(Run, chosen["training_uid"], levels, chosen["mean"])
    by_replicate = dict(zip(chosen["training_replicate"].astype(int), runs, strict=True))
    failed = int(planned["failed"].sum() + fate["failed"].sum())
    problem, missing = _problem(number, name, planned, chosen), int(planned["missing"].sum())
    return Arm(texts.design, by_replicate, failed, missing, problem, _note(name, chosen))


def _of(table: pd.DataFrame, factors: dict[str, Any]) -> pd.DataFrame:
    here = pd.Series(True, index=table.index)
    for name, value in factors.items():
        here &= table[name] == value
    return table[here]


def _problem(number: OnTexts, name: str, planned: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """Why the arm gives no number; empty where it gives one."""
    if planned.empty:
        return f"{name}: no cell has this setting (a k from the size of the vocabulary on is `all`)"
    if not planned["done"].any():
        return f"{name}: no cell is done"
    if chosen.empty:
        return f"{name}: the texts have no {number.metric} per {number.unit}"
    if not chosen["mean"].map(math.isfinite).all():
        return f"{name}: {number.metric} per {number.unit} is not defined in every training replicate"
    return ""


def _note(name: str, chosen: pd.DataFrame) -> str:
    values, defined = int(chosen["size"].sum()), int(chosen["count"].sum())
    return f"{name}: {values - defined} of {values} values are not defined and left out" if defined < values else ""
