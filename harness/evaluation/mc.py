"""MC dropout: dropout kept on at test, each mask keyed. Off by default (`training.mc_passes`); classification only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, logsumexp
from torch import nn

from harness.evaluation.evaluate import evaluated_rows
from harness.evaluation.metrics.registry import compute_metrics
from harness.evaluation.mode import eval_mode
from harness.randomness import Streams
from harness.regimes.anatomy import Slot
from harness.regimes.regime import SITES
from harness.regimes.sites import Sites
from harness.training.inputs import Inputs, MicroBatch, Split, collate
from harness.training.objective import forward

Floats = NDArray[np.float64]


def mean_rates(applied: Iterable[tuple[str, int, float]], steps: int) -> dict[str, float]:
    """The mean rate over training by label (`site` or `site/layer`): a schedule may end at 0, its model had dropout.

    Args:
        applied: (label, step, rate) where a rate changed, steps rising for each label, as in the table `rates`.
        steps: optimiser steps that were made.
    """
    changes: dict[str, list[tuple[int, float]]] = {}
    for label, step, rate in applied:
        if step < steps:
            changes.setdefault(label, []).append((step, rate))
    means = {}
    for label, rows in changes.items():
        ends = [*(step for step, _ in rows[1:]), steps]
        total = sum((end - step) * rate for (step, rate), end in zip(rows, ends, strict=True))
        # A constant rate is itself, without rounding.
        means[label] = rows[0][1] if len(rows) == 1 and rows[0][0] == 0 else total / steps
    return means


@dataclass(frozen=True)
class McDropout:
    """MC dropout of one model (Gal and Ghahramani 2016): class probabilities averaged over forwards with dropout on.

    Only the dropout sites are on; mechanisms (LayerDrop, Mixout, ...) stay as in evaluation. One example a forward:
    its masks are a pure function of (study seed, `mc`, level, split, position, pass). Modes, rates and the
    generators are put back.

    Attributes:
        sites: of the model.
        inputs, family: of the model's problem.
        streams: the cell's.
        rates: by `site`, or by `site/layer`; see `mean_rates`.
        passes: forwards per example.
        examples: at most so many of a split, evenly spaced.
    """

    sites: Sites
    inputs: Inputs
    family: str
    streams: Streams
    rates: Mapping[str, float]
    passes: int
    examples: int

    def metrics(self, name: str, split: Split) -> dict[str, float]:
        """The metrics of `summary` on one split; nothing where no site has a rate above 0."""
        slots = {slot: rate for slot in self.sites.slots if slot.site in SITES and (rate := self._rate(slot)) > 0}
        if not slots:
            return {}
        model = self.sites.model
        device = next(model.parameters()).device
        batches = [
            collate(split, np.array([row]), self.inputs, self.family).to(device)
            for row in evaluated_rows(split, self.examples)
        ]
        with eval_mode(model), _own_generators(device), _dropout_on(model, slots):
            passed = [self._pass(name, batches, number) for number in range(self.passes)]
        return summary(np.stack(passed), np.array([int(batch.targets) for batch in batches]))

    def _rate(self, slot: Slot) -> float:
        return self.rates.get(f"{slot.site}/{slot.layer}", self.rates.get(slot.site, 0.0))

    def _pass(self, name: str, batches: list[MicroBatch], number: int) -> Floats:
        """Log-probabilities of one pass over the examples: float64 [examples, classes]."""
        found = []
        for batch in batches:
            _seed(self.streams.torch_seed("mc", name, int(batch.rows[0]), number))
            found.append(forward(self.sites.model, batch)[0].double().log_softmax(dim=-1).cpu().numpy())
        return np.stack(found)


def summary(logs: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    """Metrics of the mean class probabilities; nats where they have a unit.

    Predictive entropy H[mean p] is what is uncertain in all, mutual information H[mean p] - mean H[p] the part that
    the forwards disagree about (Houlsby et al. 2011, arXiv 1112.5745).

    Args:
        logs: log-probabilities [passes, examples, classes].
        labels: true class ids [examples].

    Returns:
        `mc-loss`, `mc-accuracy`, `mc-brier`, `mc-ece`, `mc-predictive-entropy`, `mc-mutual-information`.
    """
    log_mean = logsumexp(logs, axis=0) - np.log(len(logs))
    mean = np.exp(log_mean)
    scores = compute_metrics(["accuracy", "brier", "ece"], mean.argmax(axis=1), labels, mean)
    predictive = entr(mean).sum(axis=-1)
    expected = entr(np.exp(logs)).sum(axis=-1).mean(axis=0)
    return {
        "mc-loss": float(-log_mean[np.arange(len(labels)), labels].mean()),
        **{f"mc-{name}": value for name, value in scores.items()},
        "mc-predictive-entropy": float(predictive.mean()),
        "mc-mutual-information": float((predictive - expected).mean()),
    }


def _seed(seed: int) -> None:
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(seed)


@contextmanager
def _own_generators(device: torch.device) -> Iterator[None]:
    """Keying the global generators inside the block leaves no trace."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def _dropout_on(model: nn.Module, slots: Mapping[Slot, float]) -> Iterator[None]:
    """These slots awake at these rates, all others as in evaluation; rates are put back (modes by `eval_mode`)."""
    modules = dict(model.named_modules())
    before = [(slot.module, slot.module.p) for slot in slots]
    try:
        for slot, rate in slots.items():
            slot.module.p = rate
            slot.module.training = True
            # Attention kernels ask the module that calls them, not the one that carries the rate.
            modules[slot.owner].training = True
        yield
    finally:
        for module, rate in before:
            module.p = rate
