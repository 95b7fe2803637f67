"""One of several processes that train one cell; test_ranks.py starts them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from draws import make_fit, recording, weights
from kill_worker import Kill, checkpoint_at_each_step, die, note_start, the_cell
from safetensors.torch import save_file
from torch import distributed
from torch.nn import Parameter

from harness.store import Store
from harness.training.cells import Worker
from harness.training.ranks import Ranks


@dataclass(frozen=True)
class Task:
    """What each of `size` processes does.

    Attributes:
        data: folder of the data files, and of nothing else.
        root: where the processes meet, and where each leaves its results.
        grid: of one training cell.
        kill: where rank 0 ends; None: all go on to the end.
        apart: each rank has a folder of its own for resume checkpoints (a mistake that must be noticed).
    """

    data: Path
    root: Path
    grid: dict[str, Any]
    size: int
    kill: Kill | None = None
    apart: bool = False

    def work(self, rank: int) -> Path:
        """Folder of the resume checkpoints."""
        return self.root / (f"work-{rank}" if self.apart else "work")


def train(task: Task, rank: int, meeting: str) -> None:
    """Trains the cell as one rank; leaves its last weights, and a JSON of what it drew and saw."""
    os.chdir(task.data)
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a sandbox may not resolve its own name
    if task.size > 1:
        distributed.init_process_group(
            "gloo",
            init_method=f"file://{task.root / meeting}",
            rank=rank,
            world_size=task.size,
            timeout=timedelta(seconds=60),
        )
    try:
        _fit(task, rank)
    except BaseException as error:
        (task.root / f"error-{rank}").write_text(repr(error))
        raise
    finally:
        if task.size > 1:
            distributed.destroy_process_group()


def _fit(task: Task, rank: int) -> None:
    checkpoint_at_each_step()
    silent = watch_gradients()
    worker, ranks = Worker(Store(task.root / f"store-{rank}")), Ranks(rank, task.size)
    first: list[int] = []

    def progress(finished: int, *_: Any) -> None:
        if not first:
            note_start(task.root / f"rank-{rank}", finished)
        first.append(finished)
        if rank == 0 and task.kill == Kill("step", finished):
            die()

    cell = the_cell(worker.store, task.grid)
    fit = make_fit(worker, cell, progress, ranks=ranks, work=task.work(rank))
    with recording() as recorder:
        history = fit.run()
    save_file(weights(fit), task.root / f"weights-{rank}.safetensors")
    seen = {
        "draws": [asdict(one) for one in recorder.draws],
        "history": history.values,
        "rates": history.rates,
        "selection": asdict(fit.selection) if fit.selection else None,
        "silent": silent,
    }
    (task.root / f"seen-{rank}.json").write_text(json.dumps(seen))


def watch_gradients() -> list[tuple[int, int]]:
    """Counts, at each step of this process, the parameters without a gradient: (before, after) the sum over ranks."""
    counts: list[tuple[int, int]] = []
    original = Ranks.sum_gradients

    def counted(self: Ranks, parameters: list[Parameter]) -> None:
        before = sum(parameter.grad is None for parameter in parameters)
        original(self, parameters)
        counts.append((before, sum(parameter.grad is None for parameter in parameters)))

    Ranks.sum_gradients = counted  # type: ignore[method-assign]
    return counts
