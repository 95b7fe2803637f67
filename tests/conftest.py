"""Shared fixtures: a home folder of its own for each test, tiny data, tiny models, one torch thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports torch or the hub client: tests never reach out, and use one thread as workers do.
os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }
)

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="real data and models are not beside this checkout")

THINGS = ("kettle", "ladder", "pillow", "bucket", "mirror", "candle", "saddle", "basket")
COLOURS = ("red", "blue", "green", "grey", "brown")


def invented_rows(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Sentences whose class is their colour's parity: enough for a loss to fall."""
    rows = []
    for i in range(start, start + count):
        colour = COLOURS[i % 5]
        tail = " and it stays there" * (i % 3)
        rows.append(
            (f"the {colour} {THINGS[(i * 7) % 8]} number {i} is here{tail}", "even" if i % 5 % 2 == 0 else "odd")
        )
    return rows


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`results/` and `reports/` go to a folder of the test's own, and relative paths start there."""
    monkeypatch.setenv("TWODICE_HOME", str(tmp_path))
    monkeypatch.delenv("TWODICE_DATA", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread, as every worker has: a row's bits then do not depend on its neighbours."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data_files(tmp_path: Path) -> Path:
    """A CSV classification set and a text file, in the test's folder."""
    for name, rows in (("train", invented_rows(96)), ("dev", invented_rows(32, 200)), ("test", invented_rows(40, 400))):
        lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (tmp_path / f"{name}.txt").write_text("\n".join(text for text, _ in rows) + "\n", encoding="utf-8")
    return tmp_path


TINY = {"layers": 1, "width": 16, "heads": 2, "positions": 48, "tokenizer": "char"}


def tiny_grid(**changes: Any) -> dict[str, Any]:
    """A grid that runs in seconds: CSV classification and a text language task, one-layer models."""
    grid: dict[str, Any] = {
        "name": "tiny",
        "seed": 5,
        "tasks": [{"csv": {"train": "train.csv", "validation": "dev.csv", "test": "test.csv", "label": "label"}}],
        "models": [{"scratch:bert-tiny": {**TINY, "pretrain_steps": 0}}],
        "regimes": {"none": {}, "standard-0.1": {"all": 0.1}},
        "training": {"steps": 6, "batch_size": 16, "learning_rate": 0.001, "max_length": 40},
        "replicates": {"training": {"count": 2}, "inference": {"count": 2}},
        "device": "cpu",
    }
    return {**grid, **changes}


TEXT_TASK = {"text": {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}}
LANGUAGE = {
    "tasks": [TEXT_TASK],
    "models": [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 0}}],
    "training": {"steps": 6, "batch_size": 4, "learning_rate": 0.003, "max_length": 32},
    "decoding": {"top_k": [1, 5, "all"], "max_new_tokens": 8, "prompts": 6, "prompt_tokens": 8},
}


@pytest.fixture
def tiny(data_files: Path) -> Any:
    """`tiny_grid`, with its data files in place."""
    return tiny_grid


@pytest.fixture
def language() -> dict[str, Any]:
    """Changes that make the tiny grid a language grid."""
    return dict(LANGUAGE)
