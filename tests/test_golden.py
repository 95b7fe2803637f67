"""Golden numbers: if a stage computes other numbers than before, its version in STAGE_VERSIONS must be raised.

Without that, cells stored by older code would be hits for an experiment that is no longer the same. Raise the version
of the stage that changed, then write the numbers anew with `python tests/test_golden.py`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from toolbox import LANGUAGE, TINY, tiny_grid, write_data

from harness.identity import STAGE_VERSIONS
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store

FILE = Path(__file__).with_name("golden.json")
GRID: dict[str, Any] = {
    "tasks": [*tiny_grid()["tasks"], *LANGUAGE["tasks"]],
    "models": [{f"scratch:{name}": {**TINY, "pretrain_steps": 3}} for name in ("bert-tiny", "gpt2-tiny")],
    "regimes": {"dynamic": {"all": {"linear": {"start": 0.3, "end": 0.0}}, "identity": 0.05}},
    "by_task": {"text": LANGUAGE["training"]},
    "decoding": LANGUAGE["decoding"],
    "replicates": {"training": {"count": 1}, "inference": {"count": 1}},
}


def numbers(home: Path) -> dict[str, float]:
    """Final losses of base, training and generation cells of a tiny grid."""
    from harness.executors.jobs import plan_jobs, run_job
    from harness.training.cells import Worker

    store = Store(home / "results")
    expansion = expand(parse_grid(tiny_grid(**GRID), "golden"), store, None)
    worker = Worker(store)
    for job in plan_jobs(expansion, store):
        run_job(worker, job, lambda _: None)
    found: dict[str, float] = {}
    for base in expansion.bases:
        history = store.frame(base.uid, "history")
        found[f"base {base.problem.task} {base.problem.model.name}"] = float(history["value"].iloc[-1])
    for cell in expansion.training:
        record = store.record(cell.uid)
        assert record is not None
        assert record.status == "done", record.reason
        found[f"training {cell.problem.task} {cell.problem.model.name}"] = record.summary["metrics"]["test.loss"]
    for text in expansion.generation:
        logprobs = store.frame(text.uid, "generations")["logprobs"]
        found[f"generation k={text.setting.label}"] = -float(sum(map(sum, logprobs)) / sum(map(len, logprobs)))
    return found


@pytest.mark.usefixtures("one_thread", "data_files")
def test_numbers_change_only_with_their_stage_version(home: Path) -> None:
    golden = json.loads(FILE.read_text())
    assert golden["versions"] == STAGE_VERSIONS, "a stage version was raised: write the golden numbers anew"
    found = numbers(home)
    assert found.keys() == golden["numbers"].keys()
    for name, value in found.items():
        # Other processors differ in the last bits of float32, which six steps barely amplify.
        assert value == pytest.approx(golden["numbers"][name], abs=2e-3), f"{name}: raise its version in STAGE_VERSIONS"


if __name__ == "__main__":
    import tempfile

    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_data(Path(folder))
        made = {"versions": STAGE_VERSIONS, "numbers": numbers(Path(folder))}
    FILE.write_text(json.dumps(made, indent=1) + "\n")
    sys.stdout.write(FILE.read_text())
