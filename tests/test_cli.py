"""The command line as a user meets it: real processes, exit codes, one clear line for each mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Grid = Callable[..., dict[str, Any]]


def twodice(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder that is also its home."""
    variables = {**os.environ, "TWODICE_HOME": str(folder), **environment}
    command = [sys.executable, "-m", "harness.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def write(folder: Path, grid: dict[str, Any], name: str = "grid.yaml") -> str:
    (folder / name).write_text(yaml.safe_dump(grid, sort_keys=False))
    return name


def test_plan_run_status_report_show(tiny: Grid, home: Path) -> None:
    file = write(home, tiny(regimes={"none": {}, "standard-0.1": {"all": 0.1}}))
    plan = twodice("plan", file, folder=home)
    assert plan.returncode == 0
    assert "4 cells, 4 to compute" in plan.stdout
    run = twodice("run", file, "--jobs", "2", folder=home)
    assert run.returncode == 0, run.stderr
    for part in ("standard-0.1", "report: ", "tables: ", "mlflow.db", "cells: 4 done"):
        assert part in run.stdout
    assert "4 done" in twodice("status", file, folder=home).stdout
    after = twodice("plan", file, folder=home).stdout
    assert "4 cells, 0 to compute" in after
    report = twodice("report", file, folder=home)
    assert report.returncode == 0
    assert "generalization.md" in report.stdout
    uid = next(iter((home / "results" / "cells").iterdir())).name
    show = twodice("show", uid[:8], folder=home)
    assert show.returncode == 0
    assert f"cell {uid}: done" in show.stdout
    assert "training.learning_rate = 0.001" in show.stdout
    # One changed key: the plan says which.
    changed = twodice("plan", file, "--set", "training.learning_rate=0.002", folder=home).stdout
    assert "training.learning_rate 0.001 -> 0.002" in changed


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("tasks", "toy-language"),
        ("regimes", "identity"),
        ("schedules", "p_t = start + (end - start)"),
        ("models", "scratch:gpt2-small"),
        ("metrics", "seq-rep-4"),
        ("grids", "shakespeare-gpt2"),
    ],
)
def test_list(home: Path, what: str, expected: str) -> None:
    result = twodice("list", what, folder=home)
    assert result.returncode == 0, result.stderr
    assert expected in result.stdout


# (changes of the grid, extra arguments, what the one line must name)
MISTAKES: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "unknown key": ({"trainig": {}}, (), "grid.yaml: trainig: unknown key, did you mean 'training'"),
    "wrong type": ({"training": {"epochs": "x"}}, (), "grid.yaml: training.epochs: must be a number, is 'x'"),
    "rate of 1.5": ({"regimes": {"a": {"all": 1.5}}}, (), "regimes.a.all: rate 1.5 is not allowed"),
    "missing data folder": ({}, ("--data", "nowhere"), "nowhere does not exist (--data or TWODICE_DATA)"),
    "unknown model": ({"models": ["scratch:bart"]}, (), "unknown scratch preset 'scratch:bart'"),
    "missing model folder": ({"models": ["./bart"]}, (), "models../bart: no such folder"),
    "unknown task": ({"tasks": ["toy-sentimental"]}, (), "did you mean 'toy-sentiment'"),
    "no cells": ({"tasks": ["toy-language"]}, (), "no cells: an encoder (bert) cannot generate"),
    "no regimes": ({"regimes": {}}, (), "grid.yaml: regimes: "),
    "empty data file": ({"tasks": [{"csv": {"train": "empty.csv", "label": "label"}}]}, (), "empty.csv"),
    "missing data file": ({"tasks": [{"csv": {"train": "no.csv", "label": "label"}}]}, (), "no.csv"),
    "missing column": ({"tasks": [{"csv": {"train": "train.csv", "label": "lable"}}]}, (), "lable"),
    "too long": ({"training": {"max_length": 4000}}, (), "max_length 4000 exceeds the 48 positions"),
    "wrong override": ({}, ("--set", "training.epoch=1"), "training.epoch: unknown key, did you mean 'epochs'"),
    "labels that are text": ({"tasks": ["wordy"]}, (), "column label must hold whole numbers"),
    "a task that raises": ({"tasks": ["raising"]}, (), "task raising cannot be loaded: FileNotFoundError"),
    "data set not there": ({"tasks": ["sst2"]}, ("--data", "."), "sst2"),
}


BROKEN_TASK = """
import pandas as pd
from harness.data.task import Task, TaskData, task


@task("{name}")
class Broken(Task):
    kind = "classification"

    def load(self, options, data):
        {body}
"""
BROKEN_TASKS = {
    "wordy": "frame = pd.DataFrame(dict(text=['a', 'b'], label=['no', 'yes'])); "
    "return TaskData('classification', dict.fromkeys(('train', 'validation', 'test'), frame), ('no', 'yes'))",
    "raising": "open('not-there.csv')",
}


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(tiny: Grid, home: Path, mistake: str, command: str) -> None:
    changes, arguments, expected = MISTAKES[mistake]
    (home / "empty.csv").write_text("")
    (home / "tasks").mkdir()
    for name, body in BROKEN_TASKS.items():
        (home / "tasks" / f"{name}.py").write_text(BROKEN_TASK.format(name=name, body=body))
    file = write(home, tiny(**changes))
    result = twodice(command, file, *arguments, folder=home)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("twodice: ")
    assert expected in lines[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("plan", "quik"), "unknown grid 'quik', did you mean 'quick'"),
        (("plan", "no.yaml"), "grid file no.yaml does not exist"),
        (("list", "task"), "did you mean 'tasks'"),
        (("show", "abcdef"), "no cell starts with 'abcdef'"),
        (("ui",), "`twodice run GRID` makes it"),
        (("run", "quick", "--only", "k=1"), "--only 'k=1'"),
        (("run", "quick", "--only", "regime=nonesuch"), "no such regime in the grid"),
    ],
)
def test_wrong_arguments_are_one_line_too(home: Path, arguments: tuple[str, ...], expected: str) -> None:
    result = twodice(*arguments, folder=home)
    assert result.returncode == 2
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_failed_cell_gives_exit_code_1_and_the_rest_is_complete(tiny: Grid, home: Path) -> None:
    """A user's task whose file vanishes between plan and training, in one of two tasks."""
    (home / "tasks").mkdir()
    (home / "tasks" / "fragile.py").write_text(
        "import os\nimport pandas as pd\nfrom harness.data.task import Task, TaskData, task\n\n\n"
        "@task('fragile')\nclass Fragile(Task):\n    kind = 'classification'\n\n"
        "    def load(self, options, data):\n"
        "        note = '' if 'worker' not in __import__('multiprocessing').current_process().name else 'changed'\n"
        "        frame = pd.DataFrame({'text': ['yes a', 'no b' + note] * 20, 'label': [0, 1] * 20})\n"
        "        return TaskData('classification', dict.fromkeys(('train', 'validation', 'test'), frame), ('n', 'y'))\n"
    )
    file = write(home, tiny(tasks=[*tiny()["tasks"], "fragile"], regimes={"none": {}}))
    result = twodice("run", file, "--jobs", "1", folder=home)
    assert result.returncode == 1, result.stderr
    assert "failed: fragile scratch:bert-tiny none r0: CellError: the data of task fragile changed" in result.stderr
    assert "cells: 2 done, 2 error" in result.stdout
    status = twodice("status", file, folder=home)
    assert "error: fragile" in status.stdout


def test_a_run_that_is_interrupted_says_how_to_go_on(tiny: Grid, home: Path) -> None:
    import signal
    import time

    file = write(home, tiny(training={**tiny()["training"], "steps": 100_000}))
    variables = {**os.environ, "TWODICE_HOME": str(home)}
    command = [sys.executable, "-m", "harness.cli", "run", file, "--jobs", "1"]
    process = subprocess.Popen(
        command, cwd=home, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list((home / "results" / "work").glob("*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "finished cells are kept" in errors
    assert "Traceback" not in errors


def test_a_home_that_is_a_file_is_one_line(tiny: Grid, home: Path) -> None:
    file = write(home, tiny())
    (home / "taken").write_text("")
    result = twodice("run", file, folder=home, TWODICE_HOME=str(home / "taken"))
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_broken_task_file_does_not_hide_the_others(home: Path) -> None:
    (home / "tasks").mkdir()
    (home / "tasks" / "notes.py").write_text("raise RuntimeError('no task')")
    result = twodice("list", "tasks", folder=home)
    assert result.returncode == 0
    assert "toy-language" in result.stdout
    assert "broken" in result.stdout
