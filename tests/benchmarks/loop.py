"""What a dynamic schedule and Lightning cost in a training step: `python tests/benchmarks/loop.py`.

Three arms train the same steps of the same cell on one thread, in interleaved blocks whose order alternates: our loop
with a constant rate, our loop with a linear schedule, and a bare PyTorch loop that does the same keyed, bucketed, fused
step with the constant rate. Every step is timed; a block's figure is the median over its steps, and a ratio the median
over blocks of paired blocks. The schedule's own work is also timed alone, because a block's noise is about its bound.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.update({"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"})

from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store

REGIMES = {"constant": {"all": 0.1}, "dynamic": {"all": {"linear": {"start": 0.15, "end": 0.05}}}}
SIZES = {"long step": {"layers": 4, "width": 128, "heads": 4}, "short step": {"layers": 2, "width": 64, "heads": 2}}
SKIPPED = 3  # first steps of a block: caches warm, the audit runs


def cells(size: dict[str, int], steps: int, folder: Path) -> dict[str, Any]:
    """The cell of each regime."""
    grid = {
        "name": "loop",
        "seed": 0,
        "tasks": ["toy-sentiment"],
        "models": [{"scratch:bert-tiny": {**size, "vocabulary": 400, "pretrain_steps": 0}}],
        "regimes": REGIMES,
        "training": {"steps": steps, "batch_size": 16, "max_length": 64, "select": "last"},
        "replicates": {"training": {"count": 1}, "repeats": 0},
        "device": "cpu",
    }
    expansion = expand(parse_grid(grid, "loop"), Store(folder), None)
    return {cell.regime.name: cell for cell in expansion.training}


def fit(cell: Any, worker: Any, folder: Path) -> Any:
    """A fit of the cell that is ready to run."""
    from harness.training.cells import start_model
    from harness.training.fit import Fit
    from harness.training.model import objective_of

    inputs = worker.inputs(cell.problem)
    model = start_model(worker.store, cell, inputs)
    return Fit(
        cell.problem, inputs, model, inputs.splits["train"], objective_of(cell.problem), cell.regime, cell.training,
        cell.learning_rate, cell.streams, folder, lambda *_: None,
    )  # fmt: skip


def ours(cell: Any, worker: Any) -> list[float]:
    """Seconds of each step under Lightning."""
    stamps: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run = fit(cell, worker, Path(folder))
        run.progress = lambda *_: stamps.append(time.perf_counter())
        run.run()
    return [later - earlier for earlier, later in zip(stamps[SKIPPED:], stamps[SKIPPED + 1 :], strict=False)]


def bare(cell: Any, worker: Any) -> list[float]:
    """Seconds of each step of a plain loop: same batches, keys, dropout, optimiser, clipping and learning rates."""
    import torch

    from harness.regimes.sites import install
    from harness.training.inputs import collate
    from harness.training.model import trainable
    from harness.training.module import learning_rate, seed_masks
    from harness.training.objective import forward, loss_sum

    with tempfile.TemporaryDirectory() as folder:
        run = fit(cell, worker, Path(folder))
    model, training, batches = run.model, cell.training, run.batches
    install(model).set(cell.regime.rates(0, batches.total))
    model.train()
    groups = trainable(model, training.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=cell.learning_rate, betas=training.betas, eps=training.eps, fused=True)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    stamps: list[float] = []
    for step in range(batches.total):
        rows = batches.step(step)[0]
        batch = collate(run.split, rows, run.inputs, cell.problem.model.family, batches.offset(step))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(training, cell.learning_rate, step, batches.total)
        optimizer.zero_grad()
        seed_masks(cell.streams, step, 0)
        loss = loss_sum(forward(model, batch), batch.targets) / batch.count
        loss.backward()
        float(loss.detach())  # as our loop reads it, for the finite check
        torch.nn.utils.clip_grad_norm_(parameters, training.clip)
        optimizer.step()
        stamps.append(time.perf_counter())
    return [later - earlier for earlier, later in zip(stamps[SKIPPED:], stamps[SKIPPED + 1 :], strict=False)]


def schedule_alone(found: dict[str, Any], worker: Any) -> dict[str, float]:
    """Seconds that setting and noting the rates takes in one step, by regime."""
    from harness.regimes.sites import install
    from harness.training.module import History

    seconds = {}
    for name, cell in found.items():
        with tempfile.TemporaryDirectory() as folder:
            run = fit(cell, worker, Path(folder))
        sites, history = install(run.model, cell.regime), History()
        start = time.perf_counter()
        for step in range(1000):
            sites.set(cell.regime.rates(step, 1000))
            history.apply(step, sites.applied())
        seconds[name] = (time.perf_counter() - start) / 1000
    return seconds


def compare(title: str, size: dict[str, int], steps: int, blocks: int, folder: Path) -> None:
    """Runs the blocks of one model size and prints what they say."""
    from harness.training.cells import Worker

    found, worker = cells(size, steps, folder), Worker(Store(folder))
    arms = {
        "constant": lambda: ours(found["constant"], worker),
        "dynamic": lambda: ours(found["dynamic"], worker),
        "bare": lambda: bare(found["constant"], worker),
    }
    medians: dict[str, list[float]] = {name: [] for name in arms}
    for block in range(blocks + 1):
        order = list(arms) if block % 2 else list(reversed(arms))
        seconds = {name: statistics.median(arms[name]()) for name in order}
        for name, value in seconds.items() if block else ():  # the first block warms up
            medians[name].append(value)
    step = statistics.median(medians["constant"])
    print(f"{title}: {1000 * step:.2f} ms ({blocks} blocks of {steps} steps; median of paired blocks, and quartiles)")
    for name, other in (("dynamic", "constant"), ("constant", "bare")):
        pairs = list(zip(medians[name], medians[other], strict=True))
        ratios = statistics.quantiles([a / b for a, b in pairs], n=4)
        difference = statistics.median(a - b for a, b in pairs)
        spread = f"[{100 * (ratios[0] - 1):+.1f}, {100 * (ratios[2] - 1):+.1f}]"
        print(f"  {name} against {other}: {100 * (ratios[1] - 1):+.2f} % {spread}, {1000 * difference:+.3f} ms")
    alone = schedule_alone(found, worker)
    extra = alone["dynamic"] - alone["constant"]
    print(f"  the schedule's own work: {1e6 * extra:+.1f} us a step above a constant's, {100 * extra / step:+.3f} %")


def main() -> None:
    """Prints the cost of a schedule and of Lightning, for a long step and for a short one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=23, help="of one block")
    parser.add_argument("--blocks", type=int, default=16)
    arguments = parser.parse_args()
    from harness.training.cells import prepare_process

    prepare_process("cpu")
    with tempfile.TemporaryDirectory() as folder:
        for title, size in SIZES.items():
            compare(title, size, arguments.steps, arguments.blocks, Path(folder))


if __name__ == "__main__":
    main()
