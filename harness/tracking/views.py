"""From stored cells to what MLflow is told of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.inference.metrics.frames import across_replicates, cell_metrics
from harness.spec.cells import GenerationCell, TrainingCell
from harness.store import Record, Store
from harness.tracking.view import CellView, DatasetView, SettingView


def cell_view(cell: TrainingCell, generation: Sequence[GenerationCell], store: Store) -> CellView | None:
    """A training cell with what its checkpoint generated; None where it is not stored yet."""
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
        settings=_settings(generation, store) if done else (),
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


def _settings(generation: Sequence[GenerationCell], store: Store) -> list[SettingView]:
    """One view per decoding setting: means over prompts and replicates, and the diversity across replicates."""
    groups: dict[tuple[str, float], list[tuple[GenerationCell, Record]]] = {}
    for cell in generation:
        record = store.record(cell.uid)
        if record is not None and record.status == "done":
            groups.setdefault((cell.setting.label, cell.setting.temperature), []).append((cell, record))
    return [_setting(k, temperature, cells, store) for (k, temperature), cells in groups.items()]


def _setting(k: str, temperature: float, cells: list[tuple[GenerationCell, Record]], store: Store) -> SettingView:
    texts = [store.frame(cell.uid, "generations") for cell, _ in cells]
    metrics = pd.concat([*(cell_metrics(frame) for frame in texts), across_replicates(pd.concat(texts))])
    groups = metrics.groupby(["unit", "metric"])["value"]
    means = {f"{unit}.{metric}": float(values.mean()) for (unit, metric), values in groups}
    params = {"top_k": k, "temperature": temperature, "inference_replicates": len(cells)}
    return SettingView(f"k={k} T={temperature:g}", params, means, sum(map(len, texts)))
