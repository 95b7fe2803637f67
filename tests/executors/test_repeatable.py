"""Every stored byte of a grid is the same with one worker and two, with tracking and without, and in this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from toolbox import LANGUAGE, TINY, tiny_grid, write_data

from harness.executors.run import Outcome, Runner
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, run_base, run_training

TEXTS: dict[str, Any] = dict(LANGUAGE)
# A pretrained base, two kinds of task, accumulation, a schedule, and texts.
GRID: dict[str, Any] = tiny_grid(
    tasks=[*tiny_grid()["tasks"], *TEXTS["tasks"]],
    models=[{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 4}}],
    regimes={"falling": {"all": {"linear": {"start": 0.4, "end": 0.1}}, "identity": 0.05}},
    by_task={"text": {**TEXTS["training"], "micro_batch_size": 3}},
    decoding={**TEXTS["decoding"], "top_k": [1, 5], "prompts": 4},
    training={**tiny_grid()["training"], "micro_batch_size": 6},
)
Stored = dict[str, tuple[dict[str, str], dict[str, Any]]]


def stored(root: Path) -> Stored:
    """Checksums of every file, and the summary with the checkpoint's digest, of each cell."""
    return {record.uid: (record.checksums, record.summary) for record in Store(root / "results").records()}


def run(root: Path, jobs: int) -> Outcome:
    """Runs the grid in a folder of its own."""
    root.mkdir(exist_ok=True)
    write_data(root)
    os.chdir(root)
    outcome = Runner(parse_grid(GRID, "grid"), root, jobs=jobs, say=lambda _: None).run()
    assert outcome.failed == []
    return outcome


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Stored]:
    """The grid run by one worker, tracked in the local store."""
    root, before = tmp_path_factory.mktemp("one"), os.getcwd()
    outcome = run(root, jobs=1)
    os.chdir(before)
    assert outcome.tracking == ""
    return outcome, stored(root)


def test_two_workers_and_a_tracking_server_that_is_down(
    one_worker: tuple[Outcome, Stored], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    outcome = run(home, jobs=2)
    assert outcome.tracking, "the server that is down was reached"
    cells = stored(home)
    checkpoints = [summary["checkpoint"] for _, summary in cells.values() if "checkpoint" in summary]
    assert len(set(checkpoints)) == 2 + 2 * 2  # a base for each task; tasks x replicates
    assert all(checksums for checksums, _ in cells.values())
    assert cells == one_worker[1]


@pytest.mark.usefixtures("one_thread")
def test_no_worker_and_no_tracking(one_worker: tuple[Outcome, Stored], home: Path) -> None:
    """The bases and training cells, computed here one after the other, in the opposite order."""
    write_data(home)
    worker = Worker(Store(home / "results"))
    expansion = one_worker[0].expansion
    for base in expansion.bases:
        assert run_base(worker, base, lambda *_: None) == "done"
    for cell in reversed(expansion.training):
        assert run_training(worker, cell, lambda *_: None) == "done"
    cells = stored(home)
    assert len(cells) == 6
    assert cells == {uid: one_worker[1][uid] for uid in cells}
