"""Computing one base or training cell and putting it into the store."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness.data.tokenizer import save_tokenizer
from harness.errors import CellError
from harness.evaluation.metrics.registry import greater_is_better
from harness.identity import environment, environment_digest
from harness.regimes.regime import Regime
from harness.spec.cells import BaseCell, Cell, Problem, TrainingCell
from harness.store import Record, Store
from harness.store.store import checksums
from harness.training.final import evaluate_splits, with_extras
from harness.training.fit import Fit, Progress
from harness.training.inputs import Inputs, pretraining_split, read_inputs
from harness.training.model import Objective, load_model, new_model, objective_of
from harness.training.module import Diverged, History
from harness.training.windows import random_loss_rows


@dataclass
class Worker:
    """What a worker keeps between cells: the store, and the inputs of the problem it saw last."""

    store: Store
    keep: str = "best"
    _inputs: tuple[Problem, Inputs] | None = None

    def inputs(self, problem: Problem) -> Inputs:
        """The encoded splits of a problem."""
        if self._inputs is None or self._inputs[0] != problem:
            self._inputs = (problem, read_inputs(problem, self.store.root / "cache" / "tokenizers"))
        return self._inputs[1]

    def work(self, cell: Cell) -> Path:
        """Where a cell's resume checkpoint is while it trains."""
        return self.store.root / "work" / cell.uid


def prepare_process(device: str) -> None:
    """One thread, deterministic algorithms, and a device that is what the cells' identity says.

    Raises:
        CellError: a GPU is wanted and torch has none.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory with NaN finds reads of uninitialised memory; it costs time and no number depends on it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device == "cuda" and not torch.cuda.is_available():
        raise CellError("the grid wants a GPU (device: cuda) but torch finds none; set device: cpu")


def save_record(
    store: Store,
    cell: Cell,
    status: str,
    started: float,
    *,
    reason: str = "",
    summary: dict[str, Any] | None = None,
    **content: Any,
) -> str:
    """Stores one computed cell with its environment; returns the status."""
    record = Record(
        uid=cell.uid,
        kind=cell.kind,
        status=status,
        identity=cell.identity,
        reason=reason,
        summary=summary or {},
        environment=environment_digest(),
        versions=environment(),
        seconds=round(time.monotonic() - started, 3),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    store.save(record, **content)
    return status


def run_base(worker: Worker, cell: BaseCell, progress: Progress) -> str:
    """Pretrains a scratch base and stores its checkpoint; returns the status."""
    started = time.monotonic()
    problem, inputs = cell.problem, worker.inputs(cell.problem)
    prepare_process(problem.device)
    objective: Objective = "masked" if problem.model.encoder else "causal"
    model = new_model(problem, inputs, objective, cell.streams, "sdpa")
    split, rate = pretraining_split(problem, inputs), cell.training.learning_rates[0]
    fit = Fit(
        problem, inputs, model, split, objective, Regime("none", {}), cell.training, rate,
        cell.streams, worker.work(cell), progress,
    )  # fmt: skip
    try:
        history = fit.run()
    except Diverged as error:
        shutil.rmtree(worker.work(cell), ignore_errors=True)
        return save_record(worker.store, cell, "diverged", started, reason=str(error))
    folder = export(model, inputs, worker.work(cell) / "checkpoint")
    status = save_record(
        worker.store, cell, "done", started,
        summary={"steps": fit.trainer.global_step, "checkpoint": checkpoint_digest(folder)},
        frames={"history": history_frame(history)}, folders={"checkpoint": folder},
    )  # fmt: skip
    shutil.rmtree(worker.work(cell))
    return status


def run_training(
    worker: Worker, cell: TrainingCell, progress: Progress, then: Callable[[Any, Inputs], None] | None = None
) -> str:
    """Trains, evaluates and stores one training cell; returns the status.

    Args:
        worker: the store and cached inputs.
        cell: what to train.
        progress: told about each step.
        then: called with the selected model before it is forgotten, for generation without loading it again.
    """
    started = time.monotonic()
    problem, inputs = cell.problem, worker.inputs(cell.problem)
    prepare_process(problem.device)
    model = start_model(worker.store, cell, inputs)
    fit = Fit(
        problem, inputs, model, inputs.splits["train"], objective_of(problem), cell.regime, cell.training,
        cell.learning_rate, cell.streams, worker.work(cell), progress,
    )  # fmt: skip
    last = worker.work(cell) / "checkpoint-last"
    if worker.keep == "all":
        fit.on_last = partial(export, model, inputs, last, cell.regime.structural)
    try:
        history = fit.run()
        model.to(torch.device(problem.device))  # Lightning leaves it on the CPU
        metrics, predictions = evaluate_splits(model, cell, inputs, np.unique(fit.batches.examples))
        if cell.training.random_windows:
            metrics = pd.concat([metrics, random_loss_rows(history_frame(history))], ignore_index=True)
        metrics, extras = with_extras(metrics, fit, cell, inputs)
    except Diverged as error:
        shutil.rmtree(worker.work(cell), ignore_errors=True)
        return save_record(worker.store, cell, "diverged", started, reason=str(error))
    folder = export(model, inputs, worker.work(cell) / "checkpoint", cell.regime.structural)
    digest = checkpoint_digest(folder)
    _check_repeated(worker.store.record(cell.uid), digest)
    folders = {"checkpoint": folder} if worker.keep != "none" else {}
    if last.exists():
        folders["checkpoint-last"] = last
    summary = {
        "steps": fit.trainer.global_step,
        "planned_steps": fit.batches.total,
        "selected_step": fit.selection.step if fit.selection else fit.trainer.global_step,
        "selection_score": _selection_score(cell, metrics),
        "metrics": {
            f"{split}.{name}": value for split, name, value in metrics.itertuples(index=False) if not math.isnan(value)
        },
        "examples": {split: int(count) for split, count in predictions.groupby("split").size().items()},
        "checkpoint": digest,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    frames = {
        "metrics": metrics,
        "predictions": predictions,
        "history": history_frame(history),
        "rates": pd.DataFrame(history.rates, columns=["site", "step", "rate"]),
        **extras,
    }
    status = save_record(worker.store, cell, "done", started, summary=summary, frames=frames, folders=folders)
    shutil.rmtree(worker.work(cell))
    if then is not None:
        then(model, inputs)
    return status


def _selection_score(cell: TrainingCell, metrics: pd.DataFrame) -> float:
    """The validation value that learning rates are compared by; greater is better."""
    select = "validation.loss" if cell.training.select == "last" else cell.training.select
    name = select.removeprefix("validation.")
    value = float(metrics.query("split == 'validation' and metric == @name")["value"].iloc[0])
    return value if greater_is_better(name) else -value


def _check_repeated(earlier: Record | None, digest: str) -> None:
    """A cell that is trained again (its checkpoint was not kept) must give the same weights.

    Raises:
        CellError: it does not: texts of two checkpoints would stand under one uid.
    """
    if earlier is None or earlier.status != "done" or earlier.summary["checkpoint"] == digest:
        return
    where = "the same" if earlier.environment == environment_digest() else "another"
    raise CellError(
        f"trained again in {where} environment, this cell gave other weights than those its stored texts come from; "
        f"delete its folder and those of its texts to begin anew, and use keep: best"
    )


def start_model(store: Store, cell: TrainingCell, inputs: Inputs) -> Any:
    """The model before step 0: from a checkpoint folder, from its scratch base, or from random weights.

    Raises:
        CellError: the base is not there.
    """
    problem, objective, attention = cell.problem, objective_of(cell.problem), cell.training.attention
    if problem.base is None and problem.model.folder is None:
        return new_model(problem, inputs, objective, cell.streams, attention)
    folder = problem.model.folder
    if folder is None:
        assert problem.base is not None
        folder = store.folder(problem.base.uid) / "checkpoint"
        if store.status(problem.base.uid) != "done":
            raise CellError(f"its scratch base {problem.base.uid} is not there")
    return load_model(problem, inputs, folder, objective, cell.streams, attention)


def export(model: Any, inputs: Inputs, folder: Path, structural: Sequence[str] = ()) -> Path:
    """Writes a folder that `from_pretrained` loads: weights as safetensors, configuration, tokenizer.

    Weights trained with a structural mechanism are those of another model than their class: the configuration then
    has a model type that nothing else loads, so that nobody gets its numbers from the plain class by mistake.
    """
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    if structural:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["model_type"] = "+".join([config["model_type"], *structural])
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_tokenizer(inputs.tokenizer, folder)
    return folder


def checkpoint_digest(folder: Path) -> str:
    """SHA-256 of the weights file."""
    return checksums(folder)["model.safetensors"]


def history_frame(history: History) -> pd.DataFrame:
    """Learning curves as (step, metric, value)."""
    return pd.DataFrame(history.values, columns=["step", "metric", "value"])
