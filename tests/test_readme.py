"""What the README shows works: its grid, its task, its commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

from harness.data.task import find_task, load_task
from harness.executors.run import Runner
from harness.inference.metrics import METRICS, Text
from harness.inference.own_metrics import load_own_metrics
from harness.regimes.parse import parse_regimes
from harness.spec.grid import Decoding
from harness.spec.load import parse_grid

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_first_things_are_the_two_commands() -> None:
    assert [line.split("#")[0].strip() for line in blocks("bash")[0].strip().splitlines()] == ["make demo", "make test"]


def test_the_grid_runs(home: Path) -> None:
    grid = yaml.safe_load(blocks("yaml")[0])
    grid["training"] = {**grid["training"], "epochs": 0.1}
    grid["by_task"]["toy-language"]["steps"] = 4
    outcome = Runner(parse_grid(grid, "README"), home, jobs=2, only=["regime=dynamic"], say=lambda _: None).run()
    assert outcome.failed == []
    # 3 bases, 2 replicates of 3 problems, and of the language task k=1 and human once and k=5, all twice
    assert outcome.counts["done"] == 3 + 2 * 3 + 2 * 6


def test_the_regimes_are_understood() -> None:
    regimes = yaml.safe_load(blocks("yaml")[1])["regimes"]
    assert list(parse_regimes(regimes)) == list(regimes)


def test_the_task_loads(home: Path) -> None:
    (home / "tasks").mkdir()
    (home / "tasks" / "parity.py").write_text(blocks("python")[1])
    data = load_task("parity", {}, None)
    assert [len(data.splits[name]) for name in ("train", "validation", "test")] == [400, 100, 100]
    assert find_task("parity").name == "parity"


def test_the_decoding_block_is_understood() -> None:
    decoding = yaml.safe_load(blocks("yaml")[2])["decoding"]
    assert len(Decoding.model_validate(decoding).settings) == 5 * 2 + 2 + 1 + 1


def test_the_text_metric_is_found(home: Path) -> None:
    (home / "text_metrics").mkdir()
    (home / "text_metrics" / "shouting.py").write_text(blocks("python")[0])
    load_own_metrics()
    try:
        values = [METRICS["capitals"].function(Text((1,), string=text)) for text in ("Ab", "ABC", "a")]
        assert values == [0.5, 1.0, 0.0]
    finally:
        METRICS.pop("capitals", None)


def test_every_command_that_is_shown_exists() -> None:
    shown = set(re.findall(r"twodice (\w+)", README)) - {"fine"}
    helped = subprocess.run([sys.executable, "-m", "harness.cli", "--help"], capture_output=True, text=True, check=True)
    for command in shown & {"plan", "run", "status", "report", "show", "list", "ui", "verify"}:
        assert f"  {command} " in helped.stdout
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)`", README):
        assert f"\n{target}:" in targets
