"""The final evaluation of a training cell: every split in eval mode, and what a grid asks for beside it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from harness.errors import CellError
from harness.evaluation.diagnostics import attention_diagnostics
from harness.evaluation.evaluate import evaluate
from harness.evaluation.mc import McDropout, mean_rates
from harness.evaluation.noise import memorised_noise, with_clean_labels
from harness.spec.cells import TrainingCell
from harness.training.fit import Fit
from harness.training.inputs import Indices, Inputs, Stream
from harness.training.module import Diverged

Row = tuple[str, str, float]
COLUMNS = ["split", "metric", "value"]


def evaluate_splits(
    model: Any, cell: TrainingCell, inputs: Inputs, drawn: Indices
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Metrics (split, metric, value) and predictions (split, example, ...) of every split, in eval mode.

    Of the training split only the examples that the cell was trained on: others would shrink the gap.

    Raises:
        Diverged: a loss is not finite.
    """
    metrics, predictions = [], []
    for name, split in inputs.splits.items():
        limit, rows = 0, None
        if name == "train":
            limit, rows = cell.training.evaluate_train, None if isinstance(split, Stream) else drawn
        result = evaluate(model, split, inputs, cell.problem.model.family, cell.problem.metrics, limit, rows)
        if not math.isfinite(result.metrics["loss"]):
            raise Diverged(f"the loss on split {name} is {result.metrics['loss']}")
        found = result.predictions
        if inputs.kind == "classification":
            found = with_clean_labels(found, inputs.data.splits[name])
        values = {**result.metrics, **(memorised_noise(found) if name == "train" else {})}
        metrics += [(name, metric, value) for metric, value in values.items()]
        predictions.append(found.assign(split=name))
    return pd.DataFrame(metrics, columns=["split", "metric", "value"]), pd.concat(predictions, ignore_index=True)


def with_extras(
    metrics: pd.DataFrame, fit: Fit, cell: TrainingCell, inputs: Inputs
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The metrics with the rows of MC dropout and diagnostics, where the grid asks for them, and more frames to store.

    Raises:
        CellError: one of these values is not finite.
    """
    rows = _mc_rows(fit, cell, inputs) if cell.training.mc_passes else []
    frames: dict[str, pd.DataFrame] = {}
    if cell.training.diagnostics:
        split = inputs.splits["validation"]
        found = attention_diagnostics(fit.model, split, inputs, cell.problem.model.family)
        frames["diagnostics"] = found
        means = found.groupby("metric")["value"].mean().items()
        rows += [("validation", str(metric), float(value)) for metric, value in means]
    for split_name, metric, value in rows:
        if not math.isfinite(value):
            raise CellError(f"{split_name}.{metric} is {value}")
    # Not of an empty frame: its columns have no type.
    return pd.concat([metrics, pd.DataFrame(rows, columns=COLUMNS)], ignore_index=True) if rows else metrics, frames


def _mc_rows(fit: Fit, cell: TrainingCell, inputs: Inputs) -> list[Row]:
    """MC dropout of test and the shifted splits; nothing for a task that generates."""
    if inputs.kind != "classification":
        return []
    mc = McDropout(
        sites=fit.module.sites,
        inputs=inputs,
        family=cell.problem.model.family,
        streams=cell.streams,
        # Of the steps that made these weights: later ones never touched them.
        rates=mean_rates(fit.module.history.rates, fit.selection.step if fit.selection else fit.trainer.global_step),
        passes=cell.training.mc_passes,
        examples=cell.training.mc_examples,
    )
    held_out = {name: split for name, split in inputs.splits.items() if name not in ("train", "validation")}
    values = {name: mc.metrics(name, split) for name, split in held_out.items()}
    return [(name, metric, value) for name, found in values.items() for metric, value in found.items()]
