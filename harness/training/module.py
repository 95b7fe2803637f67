"""The Lightning module of one cell: one optimiser step per batch, everything random keyed in place.

Manual optimisation, because one item of the loader is one effective batch: its micro-batches are accumulated here,
each with its own mask key, and the loss is normalised by the effective batch as a whole. What must be re-done at a
resume is a pure function of the step, so the checkpoint needs no generator state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from harness.errors import CellError
from harness.randomness import Streams
from harness.regimes.audit import audited
from harness.regimes.regime import Regime
from harness.regimes.sites import Sites
from harness.spec.grid import Training
from harness.training.batches import Batches
from harness.training.inputs import MicroBatch
from harness.training.model import trainable
from harness.training.objective import forward, loss_sum
from harness.training.ranks import Ranks


class Diverged(Exception):
    """The loss or the gradient is not finite: a result, not a mistake."""


@dataclass
class Step:
    """One item of the loader: an optimiser step and its micro-batches."""

    number: int
    micro: list[MicroBatch]

    @property
    def count(self) -> int:
        """Terms of the loss in the effective batch; 1 where masking left nothing to predict (the loss is then 0)."""
        return max(1, sum(batch.count for batch in self.micro))


class _Steps(Dataset[Step]):
    def __init__(self, total: int, read: Callable[[int], list[MicroBatch]]) -> None:
        self.total, self.read = total, read

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, step: int) -> Step:
        return Step(step, self.read(step))


class _From(Sampler[int]):
    """Steps from `start` on. Its length is the whole run's: Lightning adds the steps already done when it resumes."""

    def __init__(self, start: int, total: int) -> None:
        self.start, self.total = start, total

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.total))


def step_loader(batches: Batches, start: int, read: Callable[[int], list[MicroBatch]]) -> DataLoader[Step]:
    """A loader of the steps from `start` on, in one Lightning epoch; its own generator keeps the global one alone."""
    steps, sampler = _Steps(batches.total, read), _From(start, batches.total)
    return DataLoader(steps, batch_size=None, sampler=sampler, generator=torch.Generator())


@dataclass
class History:
    """What was seen on the way: (step, metric, value), and every rate that was applied when it changed."""

    values: list[tuple[int, str, float]] = field(default_factory=list)
    rates: list[tuple[str, int, float]] = field(default_factory=list)
    current: dict[str, float] = field(default_factory=dict)

    def apply(self, step: int, rates: dict[str, float]) -> None:
        """Notes the rates of a step."""
        for site, rate in rates.items():
            if self.current.get(site) != rate:
                self.rates.append((site, step, rate))
                self.current[site] = rate

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"values": [list(row) for row in self.values], "rates": [list(row) for row in self.rates]}

    @property
    def losses(self) -> list[float]:
        """The validation losses, oldest first."""
        return [value for _, name, value in self.values if name == "validation.loss"]

    def load(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.values = [(int(step), str(name), float(value)) for step, name, value in state["values"]]
        self.rates = [(str(site), int(step), float(rate)) for site, step, rate in state["rates"]]
        self.current = {site: rate for site, _, rate in self.rates}


class CellModule(pl.LightningModule):
    """Trains one model under one regime.

    Args:
        model: a transformers model.
        sites: its dropout slots.
        regime: rate schedules by site.
        training: optimiser settings; `learning_rate` is the one of this cell.
        batches: effective batches by step.
        streams: the cell's random streams.
        after_step: called with the number of finished steps after each optimiser step; returns True to stop.
        audit_due: called with a step; True where its first forward must be audited.
        extra_state: more for a resume checkpoint.
        ranks: this process among those that train the cell.
    """

    def __init__(
        self,
        model: Any,
        sites: Sites,
        regime: Regime,
        training: Training,
        learning_rate: float,
        batches: Batches,
        streams: Streams,
        after_step: Callable[[int], bool],
        audit_due: Callable[[int], bool],
        extra_state: Callable[[], dict[str, Any]],
        ranks: Ranks,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.sites, self.regime, self.training_settings = model, sites, regime, training
        self.peak, self.batches, self.streams = learning_rate, batches, streams
        self.after_step, self.audit_due, self.extra_state = after_step, audit_due, extra_state
        self.history, self.ranks = History(), ranks
        self.losses: list[float] = []
        self.loss = regime.loss(loss_sum)
        self.parameters_ = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Fused AdamW (decoupled decay, bias correction)."""
        settings = self.training_settings
        groups = trainable(self.model, settings.weight_decay)
        return torch.optim.AdamW(groups, lr=self.peak, betas=settings.betas, eps=settings.eps, fused=True)

    def on_fit_start(self) -> None:
        """`from_pretrained` returns eval mode and `fit` does not change it: dropout would be silently off."""
        self.model.train()

    def transfer_batch_to_device(self, batch: Step, device: torch.device, dataloader_idx: int) -> Step:
        """Moves the tensors of a step."""
        return Step(batch.number, [micro.to(device) for micro in batch.micro])

    def training_step(self, batch: Step, batch_idx: int) -> None:
        """One optimiser step over an effective batch.

        Raises:
            Diverged: the loss or the gradient norm is not finite.
            CellError: the audit found another dropout than the regime declares.
        """
        step = batch.number
        if step != self.global_step:
            raise CellError(f"the loader is at step {step}, the optimiser at {self.global_step}")
        rates = self.regime.rates(step, self.batches.total, self.losses)
        self.sites.set(rates)
        self.history.apply(step, self.sites.applied())
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        optimizer.zero_grad()
        mine = self.ranks.mine(batch.micro)
        loss = self.ranks.sum(sum(self._backward(step, index, micro, batch.count, rates) for index, micro in mine))
        self.ranks.sum_gradients(self.parameters_)
        if not math.isfinite(loss):
            raise Diverged(f"the loss is {loss} at step {step}")
        self._clip(step)
        optimizer.step()
        # What a mechanism of the objective makes of the loss is not comparable with a plain one.
        self.history.values.append((step, "train.objective" if self.regime.objectives else "train.loss", loss))

    def _backward(self, step: int, index: int, batch: MicroBatch, count: int, rates: dict[str, float]) -> float:
        seed_masks(self.streams, step, index)
        if self.regime.forwards > 1:
            batch = batch.repeated(self.regime.forwards)
        first = index == self.ranks.rank
        with audited(self.sites, rates) if first and self.audit_due(step) else nullcontext():
            logits = forward(self.model, batch, self.sites.weights())
        loss = self.loss(logits, batch.targets) / count
        self.manual_backward(loss)
        return float(loss.detach())

    def _clip(self, step: int) -> None:
        # Not Lightning's: its bf16 plugin refuses to clip with a fused optimiser.
        if self.training_settings.clip > 0:
            norm = torch.nn.utils.clip_grad_norm_(self.parameters_, self.training_settings.clip)
            if not torch.isfinite(norm):
                raise Diverged(f"the gradient norm is {float(norm)} at step {step}")

    def on_train_batch_end(self, outputs: Any, batch: Step, batch_idx: int) -> None:
        """Validation, selection and checkpoints: a pure function of the number of finished steps."""
        if self.after_step(batch.number + 1):
            self.trainer.should_stop = True

    def learning_rate(self, step: int) -> float:
        """Linear warm-up to the peak, then the decay towards `final_learning_rate` times the peak."""
        return learning_rate(self.training_settings, self.peak, step, self.batches.total)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the history and the selection state, so that one atomic folder holds all that a resume needs."""
        checkpoint["twodice"] = {"history": self.history.state(), **self.extra_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the history."""
        self.history.load(checkpoint["twodice"]["history"])
        self.losses = self.history.losses


def seed_masks(streams: Streams, step: int, micro: int) -> None:
    """Keys the generators that dropout draws from, for one micro-batch of one optimiser step."""
    seed = streams.torch_seed("mask", step, micro)
    # 150 times cheaper than torch.manual_seed, which visits every backend.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)


def learning_rate(training: Training, peak: float, step: int, total: int) -> float:
    """The learning rate of optimiser step `step` of `total`.

    Warm-up: peak * (t + 1) / w for the first w steps. Then with u = (t - w) / (T - w), which would reach 1 at the step
    after the last: linear
    peak * (1 - u (1 - f)) or cosine peak * (f + (1 - f)(1 + cos(pi u)) / 2), f = final_learning_rate.
    """
    warmup = round(training.warmup * total) if training.warmup < 1 else int(training.warmup)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    final = training.final_learning_rate
    if training.decay == "linear":
        return peak * (1 - progress * (1 - final))
    if training.decay == "cosine":
        return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))
    return peak
