"""A process that trains one cell and is killed at a given moment; test_kill.py and test_ranks.py start it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from toolbox import TINY, tiny_grid

from harness.spec.cells import TrainingCell
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training import cells, checkpoint
from harness.training.cells import Worker, run_training
from harness.training.fit import Fit

EPOCH, VALIDATION = 6, 4  # 96 rows in batches of 16; every fourth step

# Losses that rise soon: the plateau moves the rate, the best step is not the last, and the run stops early.
GRID: dict[str, Any] = tiny_grid(
    models=[{"scratch:bert-tiny": {**TINY, "pretrain_steps": 0}}],
    regimes={"driven": {"all": {"plateau": {"start": 0.4, "factor": 0.5, "patience": 1}}, "identity": 0.05}},
    training={
        "steps": 60,
        "batch_size": 16,
        "micro_batch_size": 6,
        "bucketing": True,
        "learning_rate": 0.02,
        "warmup": 2,
        "max_length": 40,
        "evaluate_every": VALIDATION,
        "select": "validation.loss",
        "early_stopping": 3,
    },
    replicates={"training": {"count": 1}},
)


@dataclass(frozen=True)
class Kill:
    """Where a process ends: at a moment in or after optimiser step `step` (counted from 1).

    Moments, in their order: `step` (before its validation and its checkpoint), `validated` (before its checkpoint),
    `half` (one of the checkpoint's two files is written), `aside` (the old checkpoint is moved away, the new one not
    yet in place), `replaced` (the old one is not yet deleted), `saved`, `exported` (trained, not yet stored).
    """

    moment: str
    step: int


def the_cell(store: Store, grid: dict[str, Any] = GRID) -> TrainingCell:
    """The only training cell of a grid whose data files are in the current folder."""
    return expand(parse_grid(grid, "grid"), store, None).training[0]


def train(folder: Path, root: Path, kill: Kill | None, pause: float = 0.0) -> None:
    """Trains the cell into the store at `root`, resuming what is there, and ends where `kill` says.

    Args:
        folder: of the data files.
        root: of the store; the file `starts` gets the first step that each process trained.
        kill: None: go on to the end.
        pause: seconds to sleep at each step, for a parent that kills at a time of its own.
    """
    os.chdir(folder)
    torch.set_num_threads(1)
    store = Store(root)
    cell = the_cell(store)
    checkpoint_at_each_step()
    reached = [0]

    def progress(finished: int, *_: Any) -> None:
        if not reached[0]:
            note_start(root, finished)
        reached[0] = finished
        if kill == Kill("step", finished):
            die()
        time.sleep(pause)

    if kill is not None:
        _arm(kill, reached)
    run_training(Worker(store), cell, progress)


def checkpoint_at_each_step() -> None:
    """In this process, every Fit saves after every step."""
    original = Fit.__post_init__

    def eager(self: Fit) -> None:
        original(self)
        self.checkpoint_seconds = -1.0

    Fit.__post_init__ = eager  # type: ignore[method-assign]


def note_start(root: Path, first: int) -> None:
    """Adds a line to the file `starts`: the first step that this process trained."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "starts").open("a") as file:
        file.write(f"{first}\n")


def starts(root: Path) -> list[int]:
    """The first step of each process that worked in `root`."""
    return [int(line) for line in (root / "starts").read_text().split()]


def die() -> None:
    """As `kill -9`: nothing is flushed, no `finally` runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(kill: Kill, reached: list[int]) -> None:
    """Puts the end of this process where `kill` says; `reached` holds the number of finished steps."""
    places: dict[str, tuple[Any, str, int]] = {
        "validated": (Fit, "_validate", 1),
        "half": (checkpoint, "save_file", 1),
        "aside": (os, "rename", 1),
        "replaced": (os, "rename", 2),
        "saved": (pl.Trainer, "save_checkpoint", 1),
        "exported": (cells, "export", 1),
    }
    if kill.moment != "step":
        holder, name, call = places[kill.moment]
        die_after(holder, name, call, lambda: kill.moment == "exported" or reached[0] == kill.step)


def die_after(holder: Any, name: str, call: int, due: Callable[[], bool]) -> None:
    """Ends this process right after the `call`th call of `holder.name` that is due."""
    original, calls = getattr(holder, name), [0]

    def then_die(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        calls[0] += due()
        if calls[0] == call:
            die()
        return result

    setattr(holder, name, then_die)
