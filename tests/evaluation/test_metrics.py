"""Task metrics against formulas written out here, through `evaluate.Metric`, offline and side by side."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.errors import CellError, UserError
from harness.evaluation.metrics import METRICS, compute_metrics, greater_is_better
from harness.evaluation.metrics.registry import metric

# TP 3, FP 1, FN 2, TN 4.
PREDICTIONS = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
REFERENCES = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]

# What runs in processes of their own: sockets are refused, so anything that needs the network fails.
OFFLINE = """
import socket, sys
def refuse(*args, **kwargs):
    raise OSError("no network here")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
from harness.evaluation.metrics import compute_metrics
for _ in range(20):
    values = compute_metrics(["accuracy", "f1", "matthews"], [1, 0, 1, 1], [1, 0, 0, 1])
print(values["accuracy"], values["f1"])
"""


def test_values_by_hand() -> None:
    values = compute_metrics(["accuracy", "f1", "matthews"], PREDICTIONS, REFERENCES)
    assert values == pytest.approx(
        {"accuracy": 7 / 10, "f1": 6 / 9, "matthews": (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6)}
    )


def test_values_on_random_cases() -> None:
    dice = np.random.default_rng(5)
    for _ in range(20):
        predictions, references = dice.integers(0, 2, (2, 50))
        tp, fp = (predictions & references).sum(), (predictions & ~references & 1).sum()
        fn = references.sum() - tp
        values = compute_metrics(["accuracy", "f1", "matthews"], predictions, references)
        assert values["accuracy"] == pytest.approx((predictions == references).mean())
        assert values["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
        assert values["matthews"] == pytest.approx(np.corrcoef(predictions, references)[0, 1])


def test_f1_is_not_symmetric_in_the_classes() -> None:
    assert compute_metrics(["f1"], [1, 1, 1, 0], [1, 1, 0, 0])["f1"] == pytest.approx(4 / 5)
    assert compute_metrics(["f1"], [0, 0, 0, 1], [0, 0, 1, 1])["f1"] == pytest.approx(2 / 3)


def test_what_is_undefined_says_so() -> None:
    assert math.isnan(compute_metrics(["f1"], [0, 0], [0, 0])["f1"])
    assert compute_metrics(["f1"], [0, 0], [0, 1])["f1"] == 0
    assert compute_metrics(["matthews"], [1, 1, 1], [1, 0, 1])["matthews"] == 0


def test_more_than_two_classes() -> None:
    assert compute_metrics(["accuracy"], [0, 1, 2, 2], [0, 1, 2, 0])["accuracy"] == 0.75
    with pytest.raises(CellError, match="f1 is for binary tasks"):
        compute_metrics(["f1"], [0, 1, 2], [0, 1, 1])


@pytest.mark.parametrize(
    ("predictions", "references"), [([0.9, 0.1], [1, 0]), ([1, 0], [1]), ([], []), ([[1], [0]], [[1], [0]])]
)
def test_what_is_no_list_of_class_ids_is_refused(predictions: list[int], references: list[int]) -> None:
    with pytest.raises(CellError):
        compute_metrics(["accuracy"], predictions, references)


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        compute_metrics(["acuracy"], [1], [1])
    with pytest.raises(UserError, match="unknown metric 'bleurt'"):
        greater_is_better("bleurt")


def test_directions() -> None:
    assert not greater_is_better("loss")
    assert all(greater_is_better(name) for name in ("accuracy", "f1", "matthews"))


def test_every_metric_says_what_it_is_and_is_registered_once() -> None:
    assert all(found.name == name and found.description and found.source for name, found in METRICS.items())
    with pytest.raises(ValueError, match="already registered"):
        metric("accuracy", description="", source="", greater_is_better=True)


def test_the_facts_are_read_without_heavy_imports() -> None:
    heavy = "('torch', 'evaluate', 'datasets', 'sklearn', 'transformers')"
    code = f"import sys, harness.evaluation.metrics.registry; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_values_come_through_an_evaluate_metric() -> None:
    import evaluate

    from harness.evaluation.metrics.wrapper import RegisteredMetric

    assert issubclass(RegisteredMetric, evaluate.Metric)


def test_two_processes_at_once_offline_leave_nothing_behind(tmp_path: Path) -> None:
    work, home, temporary = (tmp_path / name for name in ("work", "home", "tmp"))
    for folder in (work, home, temporary):
        folder.mkdir()
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "HF_HOME": str(home), "TMPDIR": str(temporary)}
    processes = [
        subprocess.Popen([sys.executable, "-c", OFFLINE], cwd=work, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs == ["0.75 0.8\n"] * 2
    assert not list(work.iterdir())
    assert not list(temporary.iterdir())
    assert not list(home.rglob("*.arrow"))
