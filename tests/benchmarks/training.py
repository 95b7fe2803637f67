"""Training cells per hour against `transformers.Trainer`: `python tests/benchmarks/training.py`.

Real checkpoint, real sentences (the layout of ../shared, or --shared DIR): same model, examples, epochs, batch size,
learning rate, schedule and dropout. Only the training loop is timed; loading and evaluation stand outside. Each round
runs, one after the other: one Trainer at its defaults with torch's default threads; two Trainers at once with one
thread each; two twodice workers. The last two train the same two seeds, so that eight seeds' accuracies are compared.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.update({"TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"})

from harness.analysis.intervals import t_interval
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store

WORKERS = 2
_BARRIER: Any = None


@dataclass(frozen=True)
class Job:
    """What to train: both sides read it."""

    shared: str
    examples: int
    epochs: int
    seed: int
    folder: str

    def cell(self) -> Any:
        """The twodice cell of this job."""
        grid = {
            "name": "bench",
            "seed": 0,
            "tasks": [{"sst2": {"train_size": self.examples}}],
            "models": [f"{self.shared}/models/minilm-l6-h384"],
            "regimes": {"standard-0.1": {"all": 0.1}},
            "training": {
                "epochs": self.epochs,
                "batch_size": 32,
                "learning_rate": 1e-4,
                "warmup": 0,
                "weight_decay": 0.0,
                "max_length": 64,
                "select": "last",
            },
            "replicates": {"training": {"count": self.seed + 1}},
            "device": "cpu",
        }
        expansion = expand(parse_grid(grid, "bench"), Store(Path(self.folder)), Path(self.shared) / "data")
        return expansion.training[self.seed]


def prepare(barrier: Any, threads: int) -> None:
    """Sets a worker's threads before it imports torch's kernels."""
    global _BARRIER
    _BARRIER = barrier
    import torch

    if threads:
        torch.set_num_threads(threads)


def together() -> None:
    """Waits until the other worker has loaded its model too."""
    if _BARRIER is not None:
        _BARRIER.wait()


def twodice(job: Job) -> tuple[float, float]:
    """Seconds of our training loop, and accuracy on the published dev set."""
    from harness.training.cells import Worker, prepare_process, start_model
    from harness.training.fit import Fit
    from harness.training.model import objective_of

    cell = job.cell()
    prepare_process("cpu")
    worker = Worker(Store(Path(job.folder)))
    inputs = worker.inputs(cell.problem)
    model = start_model(worker.store, cell, inputs)
    with tempfile.TemporaryDirectory() as work:
        fit = Fit(
            cell.problem, inputs, model, inputs.splits["train"], objective_of(cell.problem), cell.regime,
            cell.training, cell.learning_rate, cell.streams, Path(work), lambda *_: None,
        )  # fmt: skip
        together()
        start = time.perf_counter()
        fit.run()
        seconds = time.perf_counter() - start
    return seconds, accuracy(model, cell, inputs)


def trainer(job: Job) -> tuple[float, float]:
    """Seconds of `Trainer.train()` at its defaults, and accuracy on the published dev set."""
    import transformers

    from harness.training.cells import Worker

    cell = job.cell()
    inputs = Worker(Store(Path(job.folder))).inputs(cell.problem)
    split: Any = inputs.splits["train"]
    rows = [{"input_ids": split.row(i).tolist(), "labels": int(split.labels[i])} for i in range(len(split))]
    tokenizer = transformers.AutoTokenizer.from_pretrained(cell.problem.model.folder)
    transformers.set_seed(job.seed)
    model = transformers.BertForSequenceClassification.from_pretrained(cell.problem.model.folder, num_labels=2)
    with tempfile.TemporaryDirectory() as work:
        arguments = transformers.TrainingArguments(
            output_dir=work,
            num_train_epochs=job.epochs,
            per_device_train_batch_size=32,
            learning_rate=1e-4,
            seed=job.seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        )
        collator = transformers.DataCollatorWithPadding(tokenizer)
        run = transformers.Trainer(model, arguments, train_dataset=rows, data_collator=collator)
        together()
        start = time.perf_counter()
        run.train()
        seconds = time.perf_counter() - start
    return seconds, accuracy(model, cell, inputs)


def accuracy(model: Any, cell: Any, inputs: Any) -> float:
    """On the published dev set, by one evaluation for both sides."""
    from harness.evaluation.evaluate import evaluate

    return evaluate(model, inputs.splits["test"], inputs, cell.problem.model.family, ("accuracy",)).metrics["accuracy"]


def at_once(pool: ProcessPoolExecutor, side: Any, jobs: list[Job]) -> tuple[float, list[float]]:
    """Cells per hour of jobs that run at once, and their accuracies."""
    done = list(pool.map(side, jobs))
    return len(jobs) * 3600 / max(seconds for seconds, _ in done), [value for _, value in done]


def main() -> None:
    """Prints medians, ratios and the interval of the accuracies' difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[3] / "shared"
    parser.add_argument("--shared", type=Path, default=beside, help="folder with data/ and models/")
    parser.add_argument("--examples", type=int, default=640)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4, help="each trains two seeds")
    arguments = parser.parse_args()
    if not (arguments.shared / "models" / "minilm-l6-h384").is_dir():
        print(f"skipped: {arguments.shared} has no real checkpoint and data (--shared DIR names another place)")
        return
    context = get_context("spawn")
    barrier = context.Barrier(WORKERS)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, context, prepare, (None, 0)) as alone,
        ProcessPoolExecutor(WORKERS, context, prepare, (barrier, 1)) as pair,
    ):

        def job(seed: int) -> Job:
            return Job(str(arguments.shared), arguments.examples, arguments.epochs, seed, folder)

        report(arguments.rounds, job, alone, pair)


def report(rounds: int, job: Any, alone: ProcessPoolExecutor, pair: ProcessPoolExecutor) -> None:
    """Runs the rounds and prints what they say."""
    speeds: dict[str, list[float]] = {"one Trainer": [], "two Trainers": [], "twodice": []}
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(rounds):
        jobs = [job(WORKERS * number + i) for i in range(WORKERS)]
        speeds["one Trainer"].append(at_once(alone, trainer, jobs[:1])[0])
        for name, side, found in (("two Trainers", trainer, theirs), ("twodice", twodice, ours)):
            speed, accuracies = at_once(pair, side, jobs)
            speeds[name].append(speed)
            found += accuracies
        print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.0f} cells/h" for k, v in speeds.items()), flush=True)
    for name in ("one Trainer", "two Trainers"):
        ratio = statistics.median(a / b for a, b in zip(speeds["twodice"], speeds[name], strict=True))
        print(f"twodice against {name}: {ratio:.2f} x the cells per hour (median of {rounds} interleaved rounds)")
    difference = t_interval(a - b for a, b in zip(ours, theirs, strict=True))
    print(
        f"accuracy over {difference.n} seeds: "
        f"twodice {statistics.fmean(ours):.4f}, Trainer {statistics.fmean(theirs):.4f}"
    )
    print(f"difference {difference.mean:+.4f}, 95 % CI [{difference.low:+.4f}, {difference.high:+.4f}]")


if __name__ == "__main__":
    main()
