"""Fitting: the steps of one cell under Lightning, with validation, selection, early stopping and resume."""

from __future__ import annotations

import logging
import math
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from safetensors import SafetensorError

from harness.errors import CellError
from harness.evaluation.evaluate import evaluate
from harness.evaluation.metrics.registry import greater_is_better
from harness.identity import environment_digest
from harness.randomness import Streams
from harness.regimes.regime import Regime
from harness.regimes.sites import install
from harness.spec.cells import Problem
from harness.spec.grid import Training
from harness.spec.steps import evaluation_steps
from harness.training.batches import Batches
from harness.training.checkpoint import SafetensorsIO, recover
from harness.training.inputs import Inputs, MicroBatch, Split, collate, corrupt
from harness.training.model import Objective
from harness.training.module import CellModule, Diverged, History, step_loader
from harness.training.ranks import Ranks
from harness.training.windows import METRIC, random_loss

Progress = Callable[[int, int, float, float], None]  # step, total, loss, largest rate
CHECKPOINT_SECONDS = 30.0


@dataclass
class Selection:
    """The best validation so far, and how long it has not been beaten."""

    metric: str
    best: float = math.nan
    step: int = 0
    misses: int = 0

    def offer(self, value: float, step: int) -> bool:
        """Takes a validation's value; True where it is the best so far. The first of equals stays."""
        sign = 1.0 if greater_is_better(self.metric) else -1.0
        if math.isnan(self.best) or sign * value > sign * self.best:
            self.best, self.step, self.misses = value, step, 0
            return True
        self.misses += 1
        return False


@dataclass
class Fit:
    """One model on its way through its steps.

    Attributes:
        work: folder for resume checkpoints; gone when the cell is stored.
        checkpoint_seconds: time between resume checkpoints; it decides no number.
        selection, best: the best validation so far and its weights; None where the last weights count.
        on_last: called when the model still has its last weights, before the selected ones replace them.
        progress: told about each step.
        ranks: this process among those that train the cell; rank 0 writes the resume checkpoints.
    """

    problem: Problem
    inputs: Inputs
    model: Any
    split: Split
    objective: Objective
    regime: Regime
    training: Training
    learning_rate: float
    streams: Streams
    work: Path
    progress: Progress
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    selection: Selection | None = None
    best: dict[str, Any] = field(default_factory=dict)
    on_last: Callable[[], object] | None = None
    ranks: Ranks = field(default_factory=Ranks)

    def __post_init__(self) -> None:
        self.batches = Batches(self.split, self.training, self.streams)
        self.due = set(evaluation_steps(self.training, self.batches.per_epoch, self.batches.total))
        if self.training.select != "last":
            self.selection = Selection(self.training.select.removeprefix("validation."))
        elif self.training.evaluate_every is None and not self.regime.driven:
            self.due = set()  # nothing is selected, no rate is driven and no learning curve was asked for
        self.saved = time.monotonic()
        self.checkpoint = self.work / "resume"

    def run(self) -> History:
        """Trains, resuming where a checkpoint is; leaves the selected weights in the model.

        Raises:
            Diverged: the loss is not finite.
            CellError: the audit found another dropout than declared, or steps are missing.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        start = self._resume_step()
        # The first step of this process is audited, the first after each validation, and each at which a site wakes.
        audits = {start} | self.due | awakenings(self.regime, self.batches.total)
        self.module = CellModule(
            self.model,
            install(self.model, self.regime),
            self.regime,
            self.training,
            self.learning_rate,
            self.batches,
            self.streams,
            self._after_step,
            audits.__contains__,
            self._state,
            self.ranks,
        )
        self.trainer = _trainer(self.batches.total, self.problem.precision, self.problem.device, self.work)
        loader = step_loader(self.batches, start, self._read)
        checkpoint = str(self.checkpoint) if start else None
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            self.trainer.fit(self.module, loader, ckpt_path=checkpoint)
        finished = self.trainer.global_step
        if finished != self.batches.total and not self._stopped_early():
            raise CellError(f"training ended after {finished} of {self.batches.total} steps")
        if self.on_last is not None:
            self.on_last()
        self._take_best()
        return self.module.history

    def _read(self, step: int) -> list[MicroBatch]:
        micro = self.batches.step(step)
        family, offset = self.problem.model.family, self.batches.offset(step)
        read = [collate(self.split, rows, self.inputs, family, offset) for rows in micro]
        if self.objective != "masked":
            return read
        epoch = step // self.batches.per_epoch
        return [
            corrupt(
                batch,
                self.inputs,
                [self.streams.generator("corrupt", epoch, int(row)) for row in batch.rows],
                self.problem.vocabulary,
            )
            for batch in read
        ]

    def _after_step(self, finished: int) -> bool:
        history = self.module.history
        self.progress(finished, self.batches.total, history.values[-1][2], max(history.current.values(), default=0.0))
        if finished in self.due:
            self._validate(finished)
        stop = self._stopped_early()
        goes_on = finished < self.batches.total and not stop and self.ranks.rank == 0
        if goes_on and time.monotonic() - self.saved > self.checkpoint_seconds:
            self.trainer.save_checkpoint(self.checkpoint)
            self.saved = time.monotonic()
        return stop

    def _validate(self, finished: int) -> None:
        family, metrics = self.problem.model.family, self.problem.metrics
        result = evaluate(self.model, self.inputs.splits["validation"], self.inputs, family, metrics)
        for name, value in result.metrics.items():
            self.module.history.values.append((finished, f"validation.{name}", value))
        if not math.isfinite(result.metrics["loss"]):
            raise Diverged(f"the validation loss is {result.metrics['loss']} after {finished} steps")
        self.module.losses.append(result.metrics["loss"])
        self._look_at_windows(finished)
        if self.selection is not None and self.selection.offer(result.metrics[self.selection.metric], finished):
            self.best = {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def _look_at_windows(self, finished: int) -> None:
        count, split = self.training.random_windows, self.inputs.splits["validation"]
        if not count:
            return
        family = self.problem.model.family
        loss = random_loss(self.model, split, self.inputs, family, count, self.streams, finished)
        if not math.isfinite(loss):
            raise Diverged(f"the loss of random validation windows is {loss} after {finished} steps")
        self.module.history.values.append((finished, METRIC, loss))

    def _stopped_early(self) -> bool:
        patience = self.training.early_stopping
        return bool(patience and self.selection and self.selection.misses >= patience)

    def _take_best(self) -> None:
        if self.selection is None or self.selection.step == self.trainer.global_step:
            return
        for name, parameter in self.model.named_parameters():
            parameter.data.copy_(self.best[name])

    def _state(self) -> dict[str, Any]:
        """What a resume needs beside Lightning's own state."""
        selection = asdict(self.selection) if self.selection else None
        return {"selection": selection, "best": self.best, "environment": environment_digest()}

    def _resume_step(self) -> int:
        """Steps that are already done, with the selection state restored; 0 where there is no checkpoint.

        Raises:
            CellError: ranks do not find the same checkpoint.
        """
        if self.ranks.rank > 0:
            self.ranks.wait()
        saved = self._saved()
        if self.ranks.rank == 0:
            self.ranks.wait()  # the others look when the folder is in order
        done = int(saved["global_step"]) if saved else 0
        self.ranks.agree(done, "the number of finished steps")
        if saved:
            state = saved["twodice"]
            self.selection = Selection(**state["selection"]) if state["selection"] else None
            self.best = state["best"]
        return done

    def _saved(self) -> dict[str, Any] | None:
        """The resume checkpoint; None (and it is removed) where it is damaged or of another environment."""
        recover(self.checkpoint)
        if not self.checkpoint.is_dir():
            return None
        try:
            saved: dict[str, Any] = SafetensorsIO().load_checkpoint(self.checkpoint)
            # Half of a cell from one environment and half from another would be stored as the latter's.
            if saved["twodice"]["environment"] == environment_digest():
                return saved
        except (OSError, ValueError, KeyError, SafetensorError):
            pass  # a power cut may truncate what a rename had made whole; the cell begins anew, nothing else is lost
        shutil.rmtree(self.checkpoint)
        return None


def awakenings(regime: Regime, total: int) -> set[int]:
    """The steps at which a site's rate leaves 0: before them, an audit could not have seen that it is unreachable."""
    rates = [regime.rates(step, total) for step in range(total)]  # a driven rate moves at validations only
    return {
        step
        for step in range(1, total)
        if any(rate > 0 and rates[step - 1][site] == 0 for site, rate in rates[step].items())
    }


def _trainer(steps: int, precision: str, device: str, work: Path) -> pl.Trainer:
    for name in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return pl.Trainer(
        max_steps=steps,
        max_epochs=1,
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        default_root_dir=work,
        plugins=[SafetensorsIO()],
        use_distributed_sampler=False,
        inference_mode=False,
    )
