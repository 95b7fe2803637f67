"""Several processes on one cell: they repeat bit for bit, and see the masks of one process with accumulation."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from draws import write_fixed_rows
from kill_worker import Kill, starts
from rank_worker import Task, train
from safetensors.torch import load_file
from toolbox import TINY, tiny_grid

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(sys.platform != "linux", reason="the ranks meet on Linux's loopback interface, `lo`"),
]

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["harness.training.cells", "harness.evaluation.metrics.wrapper", "sklearn.metrics"])
# Sums of gradients in another order differ in their last bits (1e-7 of a value). Adam divides by a gradient's size,
# so with its usual eps a gradient that is only rounding (a key's bias) would move a weight by a whole step.
TOLERANCE = 1e-5
TRAINING = {
    "steps": 9,
    "batch_size": 16,
    "micro_batch_size": 4,
    "learning_rate": 0.01,
    "eps": 1e-3,
    "max_length": 40,
    "evaluate_every": 3,
}
DROPPED: dict[str, Any] = {"all": 0.3, "identity": 0.1}


def grid(regime: dict[str, Any] | None = None, **training: Any) -> dict[str, Any]:
    """A grid of one training cell of a model with two layers."""
    return tiny_grid(
        models=[{"scratch:bert-tiny": {**TINY, "layers": 2, "pretrain_steps": 0}}],
        regimes={"dropped": DROPPED if regime is None else regime},
        training={**TRAINING, **training},
        replicates={"training": {"count": 1}},
    )


@dataclass(frozen=True)
class Ran:
    """What the ranks of one training left."""

    task: Task
    codes: list[int | None]

    def weights(self, rank: int) -> bytes:
        """The file of its last weights."""
        return (self.task.root / f"weights-{rank}.safetensors").read_bytes()

    def seen(self, rank: int) -> dict[str, Any]:
        """What it drew and saw."""
        found: dict[str, Any] = json.loads((self.task.root / f"seen-{rank}.json").read_text())
        return found

    def draws(self) -> list[dict[str, Any]]:
        """The forwards of all ranks, by step and micro-batch."""
        everything = [one for rank in range(self.task.size) for one in self.seen(rank)["draws"]]
        return sorted(everything, key=lambda one: (one["step"], one["micro"]))

    def losses(self) -> list[float]:
        """Training and validation losses, as rank 0 saw them."""
        return [value for _, name, value in self.seen(0)["history"] if name.endswith("loss")]


def run(task: Task) -> Ran:
    """Trains the cell with all ranks at once."""
    task.root.mkdir(parents=True, exist_ok=True)
    meeting = f"meeting-{len(list(task.root.glob('meeting-*')))}"
    (task.root / meeting).touch()
    processes = [CONTEXT.Process(target=train, args=(task, rank, meeting)) for rank in range(task.size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    return Ran(task, [process.exitcode for process in processes])


def whole(home: Path, name: str, size: int, cell: dict[str, Any]) -> Ran:
    """An uninterrupted training."""
    data = home / "data"
    if not data.exists():
        data.mkdir()
        write_fixed_rows(data)
    ran = run(Task(data, home / name, cell, size))
    assert ran.codes == [0] * size
    return ran


def check_like_one_rank(one: Ran, two: Ran) -> None:
    """The same draws, and weights and losses within the tolerance."""
    assert two.draws() == one.draws()
    assert two.losses() == pytest.approx(one.losses(), abs=TOLERANCE)
    ours, theirs = (load_file(ran.task.root / "weights-0.safetensors") for ran in (one, two))
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < TOLERANCE


def check_equal_ranks(one: Ran, two: Ran) -> None:
    """Every rank of both runs has the same weights, losses, rates and selection."""
    results = [(ran, rank) for ran in (one, two) for rank in range(2)]
    assert len({ran.weights(rank) for ran, rank in results}) == 1
    for name in ("history", "rates", "selection"):
        assert all(ran.seen(rank)[name] == one.seen(0)[name] for ran, rank in results)


def test_two_ranks_repeat_bit_for_bit_and_see_the_masks_of_one(home: Path) -> None:
    one = whole(home, "one", 1, grid())
    first, second = whole(home, "first", 2, grid()), whole(home, "second", 2, grid())
    check_equal_ranks(first, second)
    check_like_one_rank(one, first)
    assert len(one.draws()) == 9 * 4
    assert {len(draw["masks"]) for draw in one.draws()} == {1 + 2 * 4 + 1}  # embedding, layers, head
    assert [[draw["micro"] for draw in first.seen(rank)["draws"][:2]] for rank in range(2)] == [[0, 2], [1, 3]]


@pytest.mark.parametrize("micro", [6, 16])
def test_micro_batches_that_the_ranks_do_not_divide(home: Path, micro: int) -> None:
    """Three micro-batches, the last one smaller; and one, which leaves the second rank without."""
    cell = grid(micro_batch_size=micro)
    one, two = whole(home, "one", 1, cell), whole(home, "two", 2, cell)
    check_equal_ranks(two, two)
    check_like_one_rank(one, two)
    assert len(two.seen(1)["draws"]) == 9 * (1 if micro == 6 else 0)


def test_a_layer_without_a_gradient_on_one_rank_or_on_all(home: Path) -> None:
    """A skipped layer: no gradient anywhere means no step, no decay and no momentum for it, as with one rank."""
    cell = grid({"layerdrop": 0.6, "sublayer": 0.1}, micro_batch_size=8, weight_decay=0.5, clip=0.5)
    one, two = whole(home, "one", 1, cell), whole(home, "two", 2, cell)
    check_equal_ranks(two, two)
    check_like_one_rank(one, two)
    silent = [two.seen(rank)["silent"] for rank in range(2)]
    assert any(mine[0] != theirs[0] for mine, theirs in zip(*silent, strict=True)), "no step with a layer on one rank"
    assert any(after > 0 for _, after in silent[0]), "no step with a layer on no rank"
    assert [after for _, after in silent[0]] == [after for _, after in one.seen(0)["silent"]]


def test_a_killed_training_of_two_ranks_is_resumed_bit_for_bit(home: Path) -> None:
    cell = grid({"all": {"plateau": {"start": 0.4, "patience": 1}}}, learning_rate=0.05)
    uninterrupted = whole(home, "whole", 2, cell)
    task = Task(home / "data", home / "killed", cell, 2, Kill("step", 5))
    codes = run(task).codes
    assert codes[0] == -signal.SIGKILL
    assert codes[1] not in (0, None), "a rank went on without the other"
    resumed = run(replace(task, kill=None))
    assert resumed.codes == [0, 0]
    assert [starts(task.root / f"rank-{rank}") for rank in range(2)] == [[1, 5]] * 2
    check_equal_ranks(uninterrupted, resumed)


def test_only_rank_0_saves_and_ranks_that_would_resume_at_different_steps_are_refused(home: Path) -> None:
    whole(home, "whole", 1, grid())
    task = Task(home / "data", home / "apart", grid(), 2, Kill("step", 5), apart=True)
    run(task)
    assert [(task.work(rank) / "resume").exists() for rank in range(2)] == [True, False]
    assert run(replace(task, kill=None)).codes == [1, 1]
    for rank, done in ((0, 4), (1, 0)):
        told = (task.root / f"error-{rank}").read_text()
        assert f"the number of finished steps is {done} on rank {rank}, elsewhere 0 to 4" in told
