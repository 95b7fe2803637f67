"""Shared fixtures: a home folder of its own for each test, tiny data, tiny models, one torch thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toolbox import LANGUAGE, tiny_grid, write_data

# Before anything imports torch or the hub client: tests never reach out, and use one thread as workers do.
os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
    }
)


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
    write_data(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(data_files: Path) -> Any:
    """`tiny_grid`, with its data files in place."""
    return tiny_grid


@pytest.fixture
def language() -> dict[str, Any]:
    """Changes that make the tiny grid a language grid."""
    return dict(LANGUAGE)
