"""A killed training: resumed in another process it ends with the very same cell, whenever it was killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any

import draws
import numpy as np
import pytest
from kill_worker import EPOCH, VALIDATION, Kill, starts, the_cell, train
from toolbox import write_data

from harness.identity import environment_digest
from harness.store import Record, Store
from harness.training.cells import Worker, run_training
from harness.training.fit import Fit, Progress

pytestmark = pytest.mark.usefixtures("one_thread")

# Each process is forked from a clean server that has only imported what takes seconds to import.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["harness.training.cells", "harness.evaluation.metrics.wrapper", "sklearn.metrics"])
SPAWNED = multiprocessing.get_context("spawn")
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Whole:
    """The cell as an uninterrupted training in the process of these tests stores it."""

    folder: Path
    record: Record

    @property
    def steps(self) -> int:
        """Optimiser steps that were taken."""
        return int(self.record.summary["steps"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The uninterrupted training, with the folder of its data files."""
    import torch

    folder = tmp_path_factory.mktemp("whole")
    write_data(folder)
    before, threads = os.getcwd(), torch.get_num_threads()
    os.chdir(folder)
    torch.set_num_threads(1)
    try:
        store = Store(folder / "whole")
        cell = the_cell(store)
        assert run_training(Worker(store), cell, lambda *_: None) == "done"
        return Whole(folder, stored(folder / "whole"))
    finally:
        os.chdir(before)
        torch.set_num_threads(threads)


def stored(root: Path) -> Record:
    """The only cell of a store."""
    (record,) = Store(root).records()
    return record


def run(
    whole: Whole,
    root: Path,
    kill: Kill | None = None,
    context: ForkServerContext | SpawnContext = FORKED,
) -> int | None:
    """Trains in a process of its own, to its end; returns its exit code."""
    process = context.Process(target=train, args=(whole.folder, root, kill))
    process.start()
    process.join(120)
    return process.exitcode


def check_equal(root: Path, whole: Whole) -> None:
    """Every stored byte: weights, predictions, metrics, history, rates; and steps, selection and its score."""
    record = stored(root)
    assert record.checksums == whole.record.checksums
    assert record.summary == whole.record.summary
    assert {"checkpoint/model.safetensors", "predictions.parquet", "history.parquet", "rates.parquet"} <= set(
        record.checksums
    )


def ten_kills(steps: int) -> list[Kill]:
    """Ten moments of a training of so many steps, drawn from a fixed seed; each kind of moment has its share."""
    inside = [step for step in range(2, steps) if step % EPOCH and step % VALIDATION]
    ends = [step for step in range(2, steps) if step % EPOCH == 0]
    validations = [step for step in range(2, steps) if step % VALIDATION == 0]
    generator = np.random.default_rng(20240917)

    def draw(moment: str, candidates: list[int], count: int) -> list[Kill]:
        return [Kill(moment, int(step)) for step in generator.choice(candidates, count, replace=False)]

    return [
        *draw("step", inside, 3),
        *draw("step", ends, 2),
        *draw("validated", validations, 2),
        *draw("saved", list(range(2, steps)), 2),
        Kill("exported", steps),
    ]


def first_step_after(kill: Kill) -> int:
    """The step that a resumed run begins with (from 1), where each step is saved: the killed one again, or the next.

    Of a trained cell only its last step is done again: no checkpoint is written behind it.
    """
    return kill.step + 1 if kill.moment in ("replaced", "saved") else kill.step


def test_the_cell_has_what_could_go_wrong(whole: Whole) -> None:
    """A driven rate that moves, a best step before the last, and an early stop: otherwise these tests show little."""
    store = Store(whole.folder / "whole")
    rates = store.frame(whole.record.uid, "rates").query("site == 'sublayer'")
    assert len(rates) >= 3
    assert whole.record.summary["selected_step"] < whole.steps < whole.record.summary["planned_steps"]
    assert whole.steps > 3 * EPOCH
    assert len({(kill.moment, kill.step) for kill in ten_kills(whole.steps)}) == 10


@pytest.mark.parametrize("number", range(10))
def test_a_killed_training_is_resumed_bit_for_bit(whole: Whole, home: Path, number: int) -> None:
    kill = ten_kills(whole.steps)[number]
    assert run(whole, home, kill) == KILLED
    assert not list(Store(home).records())
    assert run(whole, home) == 0
    assert starts(home) == [1, first_step_after(kill)]
    check_equal(home, whole)


def test_a_training_that_is_killed_ten_times_ends_as_if_nothing_had_been(whole: Whole, home: Path) -> None:
    kills = sorted(ten_kills(whole.steps), key=lambda kill: (kill.step, kill.moment != "step"))
    for kill in kills:
        assert run(whole, home, kill) == KILLED
    assert run(whole, home) == 0
    assert len(starts(home)) == 11
    check_equal(home, whole)


@pytest.mark.parametrize("moment", ["half", "aside", "replaced"])
def test_a_kill_while_a_checkpoint_is_written_leaves_the_old_or_the_new_one(
    whole: Whole, home: Path, moment: str
) -> None:
    kill = Kill(moment, 10)
    assert run(whole, home, kill) == KILLED
    assert run(whole, home) == 0
    assert starts(home) == [1, first_step_after(kill)]
    check_equal(home, whole)


def test_a_parent_that_kills_at_a_random_time_and_a_fresh_interpreter_that_resumes(whole: Whole, home: Path) -> None:
    process = FORKED.Process(target=train, args=(whole.folder, home, None, 0.05))
    process.start()
    deadline = time.monotonic() + 120
    while not (home / "starts").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(float(np.random.default_rng(7).uniform(0.1, 0.9)))  # at least 0.05 s a step: it is still at work
    process.kill()
    process.join(60)
    assert process.exitcode == KILLED
    assert run(whole, home, context=SPAWNED) == 0
    assert len(starts(home)) == 2
    check_equal(home, whole)


def test_the_same_cell_in_another_process_is_bit_identical(whole: Whole, home: Path) -> None:
    assert run(whole, home) == 0
    check_equal(home, whole)


class Stop(Exception):
    """A process that dies between two steps."""


def make_fit(store: Store, progress: Progress) -> Fit:
    """A Fit of the cell of these tests that saves after each step."""
    fit = draws.make_fit(Worker(store), the_cell(store), progress)
    fit.checkpoint_seconds = -1.0
    return fit


def stopped_after(store: Store, step: int) -> Fit:
    """A Fit whose process died after `step` steps, the last of them saved."""

    def stop(finished: int, *_: Any) -> None:
        if finished == step + 1:
            raise Stop

    fit = make_fit(store, stop)
    with pytest.raises(Stop):
        fit.run()
    return fit


def test_a_run_resumed_after_a_validation_knows_all_that_it_saw(
    whole: Whole, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses that drive the rate, selection, misses for early stopping, and the best weights."""
    monkeypatch.chdir(whole.folder)
    store = Store(home)
    first = stopped_after(store, 2 * VALIDATION)
    seen: list[dict[str, Any]] = []
    second = make_fit(store, lambda *_: seen.append(state(second)))
    second.run()
    assert seen[0]["losses"] == first.module.losses
    assert len(seen[0]["losses"]) == 2
    assert seen[0]["selection"] == first.selection
    assert seen[0]["rates"] == first.module.history.current


def state(fit: Fit) -> dict[str, Any]:
    """What steers the next steps, at the end of a step."""
    assert fit.selection is not None
    module = fit.module
    return {
        "losses": list(module.losses),
        "selection": replace(fit.selection),
        "rates": dict(module.history.current),
    }


def test_a_checkpoint_of_another_environment_is_not_resumed(
    whole: Whole, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a cell would be half of one environment, and stored as the other's."""
    monkeypatch.chdir(whole.folder)
    store = Store(home)
    stopped_after(store, 3)
    first: list[int] = []
    monkeypatch.setattr("harness.training.fit.environment_digest", lambda: environment_digest()[::-1])
    make_fit(store, lambda finished, *_: first.append(finished)).run()
    assert first[0] == 1
