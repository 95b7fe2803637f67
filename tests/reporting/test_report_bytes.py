"""A report is a pure function of the store: other threads, hash seeds and orders of rows give the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

REPORT = """
import sys
from pathlib import Path
import pandas as pd
from harness.reporting.report import write_report
tables = {path.stem: pd.read_parquet(path) for path in sorted(Path(sys.argv[1]).iterdir())}
regimes = sys.argv[3:]
write_report(tables, Path(sys.argv[2]), name="quick", reference=regimes[0], regimes=regimes, seed=7)
"""
EXAMPLES = 400


def predictions(training: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Enough rows of every split of every run that a threaded library would share them out."""
    parts = []
    for uid, task, split in training[["uid", "task", "split"]].drop_duplicates().itertuples(index=False):
        language = task == "toy-language"
        label, prediction = (rng.integers(2, size=EXAMPLES).astype(float) for _ in range(2))
        rows = {"uid": uid, "split": split, "example": range(EXAMPLES), "loss": rng.exponential(size=EXAMPLES)}
        rows |= {"label": np.nan if language else label, "prediction": np.nan if language else prediction}
        targets = rng.integers(1, 60, EXAMPLES).astype(float) if language else np.nan
        parts.append(pd.DataFrame(rows).assign(targets=targets))
    return pd.concat(parts, ignore_index=True)


def report(tables: dict[str, pd.DataFrame], folder: Path, regimes: list[str], threads: int) -> dict[str, bytes]:
    """The report's files, built by a fresh process."""
    store, out = folder / "tables", folder / "report"
    store.mkdir(parents=True)
    for name, table in tables.items():
        table.to_parquet(store / f"{name}.parquet", index=False)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, str(threads)) | {"PYTHONHASHSEED": str(threads)}
    command = [sys.executable, "-c", REPORT, str(store), str(out), *regimes]
    subprocess.run(command, check=True, env=environment)
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def whole(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {**tables, "predictions": predictions(tables["training"], np.random.default_rng(3))}


def test_threads_hash_seed_and_order_of_rows_change_no_byte(
    whole: dict[str, pd.DataFrame], regimes: list[str], tmp_path: Path
) -> None:
    shuffled = {name: table.sample(frac=1, random_state=8) for name, table in whole.items()}
    first = report(whole, tmp_path / "one", regimes, threads=1)
    again = report(shuffled, tmp_path / "two", regimes, threads=2)
    assert {"generalization.csv", "generation.csv"} <= set(first)
    assert set(first) == set(again)
    assert [name for name in first if first[name] != again[name]] == []
