"""What a training drew, micro-batch by micro-batch, for tests that compare two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from harness.randomness import Streams
from harness.regimes.noise import noise
from harness.spec.cells import TrainingCell
from harness.training import module
from harness.training.cells import Worker, start_model
from harness.training.fit import Fit, Progress
from harness.training.model import objective_of

COLOURS = ("blue", "grey", "pink", "teal", "gold")


def write_fixed_rows(folder: Path) -> None:
    """Rows of one length: dropout masks depend on the shape of the batch, and so on the lengths in it."""
    for name, count, start in (("train", 96, 0), ("dev", 32, 200), ("test", 32, 400)):
        rows = [f"the {COLOURS[i % 5]} box number {i:04d},{i % 5 % 2}" for i in range(start, start + count)]
        (folder / f"{name}.csv").write_text("text,label\n" + "\n".join(rows) + "\n")


@dataclass
class Draws:
    """One forward of a training.

    Attributes:
        step, micro: the optimiser step, and the micro-batch's index in the effective batch.
        seed: what the mask generator was keyed with.
        rows: the examples.
        masks: digest of each dropout call's zeros, in order.
        state: digest of the generator after the forward: what the attention kernels drew is in it, too.
    """

    step: int
    micro: int
    seed: int
    rows: tuple[int, ...] = ()
    masks: tuple[str, ...] = ()
    state: str = ""


class _Masks(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in (functional.dropout, noise):
            self.seen.append(_digest((output == 0).numpy()))
        return output


@dataclass
class Recorder:
    """Every forward of the trainings inside `recording`."""

    draws: list[Draws] = field(default_factory=list)

    def at(self, step: int) -> list[Draws]:
        """The forwards of one optimiser step."""
        return [one for one in self.draws if one.step == step]


@contextmanager
def recording() -> Iterator[Recorder]:
    """Records what the trainings inside the block draw; it changes nothing that they compute."""
    recorder, seed_masks, forward = Recorder(), module.seed_masks, vars(module)["forward"]

    def seeded(streams: Streams, step: int, micro: int) -> None:
        seed_masks(streams, step, micro)
        recorder.draws.append(Draws(step, micro, torch.default_generator.initial_seed()))

    def watched(model: Any, batch: Any, weights: Any = None) -> Any:
        with _Masks() as masks:
            logits = forward(model, batch, weights)
        now = recorder.draws[-1]
        now.rows, now.masks = tuple(batch.rows.tolist()), tuple(masks.seen)
        now.state = _digest(torch.get_rng_state().numpy())
        return logits

    try:
        vars(module).update(seed_masks=seeded, forward=watched)
        yield recorder
    finally:
        vars(module).update(seed_masks=seed_masks, forward=forward)


def _digest(values: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def make_fit(worker: Worker, cell: TrainingCell, progress: Progress, **more: Any) -> Fit:
    """The Fit of a cell, from its first weights; `more` are further fields of it."""
    inputs = worker.inputs(cell.problem)
    fields = {"streams": cell.streams, "work": worker.work(cell), "progress": progress, **more}
    return Fit(
        cell.problem, inputs, start_model(worker.store, cell, inputs), inputs.splits["train"],
        objective_of(cell.problem), cell.regime, cell.training, cell.learning_rate, **fields,
    )  # fmt: skip


def weights(fit: Fit) -> dict[str, torch.Tensor]:
    """A copy of the model's weights."""
    return {name: parameter.detach().clone() for name, parameter in fit.model.named_parameters()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
