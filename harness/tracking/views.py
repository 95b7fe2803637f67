"""From stored cells to what MLflow is told of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.settings import filters_of
from harness.analysis.texts import METRICS, per_replicate, text_rows, whole_sets
from harness.request import Setting
from harness.spec.cells import GenerationCell, TrainingCell
from harness.store import Record, Store
from harness.store.measures import TextMeasures, by_setting
from harness.store.stacked import Stack
from harness.tracking.view import CellView, DatasetView, SettingView


def cell_view(
    cell: TrainingCell, generation: Sequence[GenerationCell], store: Store, measures: TextMeasures | None = None
) -> CellView | None:
    """A training cell with what its checkpoint generated; None where it is not stored yet.

    Args:
        cell: the training cell.
        generation: its generation cells.
        store: holds them.
        measures: of the same store, where the caller has some.
    """
    record = store.record(cell.uid)
    if record is None:
        return None
    factors = cell.factors
    name = f"{factors['task']} {factors['model']} {factors['regime']} r{cell.replicate}"
    done = record.status == "done"
    return CellView(
        uid=cell.uid,
        name=f"{name} repeat {cell.repeat}" if cell.repeat else name,
        status=record.status,
        reason=record.reason,
        params=_params(cell),
        tags={"environment": record.environment},
        dataset=DatasetView(cell.problem.task, cell.problem.fingerprint, f"task {cell.problem.task}"),
        metrics=record.summary["metrics"] if done else {},
        history=_points(store, cell, "history", "metric", "value") if done else (),
        rates=_points(store, cell, "rates", "site", "rate") if done else (),
        settings=_settings(generation, store, measures) if done else (),
    )


def _params(cell: TrainingCell) -> dict[str, Any]:
    """Flat parameters, so that MLflow's filters and charts work without preparation."""
    problem, training = cell.problem, cell.training
    elsewhere = {"learning_rate", "steps_to_loss"}  # the cell's own rate; what is only looked at in reports
    parts = cell.regime.describe()
    return {
        "task": problem.task,
        "train_size": "all" if problem.train_size is None else problem.train_size,
        "model": problem.model.name,
        "regime": cell.regime.name,
        **{f"dropout.{site}": rate for site, rate in cell.regime.headline().items()},
        **{f"schedule.{name}": json.dumps(part) for name, part in parts.items() if name in cell.regime.channels},
        **{f"objective.{name}": json.dumps(part) for name, part in parts.items() if name in cell.regime.objectives},
        "learning_rate": cell.learning_rate,
        **{f"training.{k}": v for k, v in training.model_dump(mode="json", exclude=elsewhere).items()},
        "seed.study": problem.seed,
        **{f"seed.{role}": level for role, level in cell.declared.items()},
        "replicate": cell.replicate,
        "repeat": cell.repeat,
        "device": problem.device,
        "precision": problem.precision,
    }


def _points(store: Store, cell: TrainingCell, table: str, name: str, value: str) -> list[tuple[str, int, float]]:
    frame = store.frame(cell.uid, table)
    return [(str(n), int(s), float(v)) for n, s, v in zip(frame[name], frame["step"], frame[value], strict=True)]


def _settings(generation: Sequence[GenerationCell], store: Store, measures: TextMeasures | None) -> list[SettingView]:
    """One view per decoding setting: means over prompts and replicates, and the diversity across replicates."""
    records = {cell.uid: store.record(cell.uid) for cell in generation}
    done = {uid: record for uid, record in records.items() if record is not None and record.status == "done"}
    cells = [cell for cell in generation if cell.uid in done]
    if not cells:
        return []
    measures = measures or TextMeasures(store)
    measures.expect(cells)
    return [_setting(group, done, measures) for group in by_setting(cells)]


def _setting(cells: list[GenerationCell], records: Mapping[str, Record], measures: TextMeasures) -> SettingView:
    setting = cells[0].setting
    params = {**setting.factors, "inference_replicates": len(cells)}
    count = sum(records[cell.uid].summary["texts"] for cell in cells)
    return SettingView(_name(setting), params, _means(cells, measures), count)


def _means(cells: list[GenerationCell], measures: TextMeasures) -> dict[str, float]:
    """Means by unit and metric of one checkpoint and setting, taken as the report takes them.

    A metric with an infinite value, which a report refuses, is infinite: the mirror tells it as not finite.
    """
    stack = Stack()
    for cell in cells:
        stack.add(measures.of_cell(cell), cell.factors)
    stack.add(measures.across(cells), {**cells[0].factors, "inference_replicate": None})
    rows = stack.joined(METRICS)
    infinite = np.isinf(rows["value"])
    found = per_replicate(whole_sets(text_rows(rows[~infinite])))
    means = dict(zip(found["unit"] + "." + found["metric"], map(float, found["mean"]), strict=True))
    return means | dict.fromkeys(rows["unit"][infinite] + "." + rows["metric"][infinite], math.inf)


def _name(setting: Setting) -> str:
    """For example `k=5 T=1`, `k=all T=0.7 p=0.95` or `human`."""
    if setting.human:
        return setting.label
    filters = filters_of(setting.top_p, setting.min_p)
    return " ".join([f"k={setting.label}", f"T={setting.temperature:g}", *filters])
