"""What `plan` says of a design: without a pilot, with one, and with one of another grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toolbox import tiny_grid

from harness.analysis.pilot import design_lines, pilot_lines
from harness.analysis.power import resolvable
from harness.spec.grid import Grid
from harness.spec.load import parse_grid

Row = Callable[..., dict[str, Any]]
REGIMES = {"none": {}, "standard": {"all": 0.1}, "late": {"all": 0.2}}


def grid(count: int, **changes: Any) -> Grid:
    replicates = {"training": {"count": count}, "inference": {"count": 2}}
    return parse_grid(tiny_grid(**{"regimes": REGIMES, "replicates": replicates, **changes}), "grid.yaml")


def test_a_design_that_cannot_reach_the_level_says_so() -> None:
    few = list(design_lines(grid(5)))
    assert few[0].startswith("note: a sign-flip test of 5 pairs cannot reach adjusted p < .05 over 2 contrasts at all")
    found = resolvable(1 / np.sqrt(5), 4.0, 2)
    assert few[1].startswith(f"5 training replicates find a difference of {found:.2g} standard deviations")
    assert len(list(design_lines(grid(7)))) == 1  # 2 * 2 / 2^7 = .031
    assert "no difference between regimes has an interval" in "".join(design_lines(grid(1)))
    assert not list(design_lines(grid(5, regimes={"none": {}})))


@pytest.fixture
def results(tmp_path: Path, make_training_row: Row, make_cell_row: Row) -> Path:
    """Tables of three regimes x four runs of a loss."""
    dice = np.random.default_rng(1)
    runs = [(name, replicate) for name in REGIMES for replicate in range(4)]
    training = [
        make_training_row(f"{name}{replicate}", name, replicate, "test", "loss", float(dice.normal()))
        for name, replicate in runs
    ]
    cells = [make_cell_row(f"{name}{replicate}", name, replicate) for name, replicate in runs]
    folder = tmp_path / "tiny" / "tables"
    folder.mkdir(parents=True)
    pd.DataFrame(training).to_parquet(folder / "training.parquet")
    pd.DataFrame(cells).astype({"top_k": "string"}).to_parquet(folder / "cells.parquet")
    return tmp_path


def test_a_pilot_says_what_the_hardest_contrast_resolves(results: Path) -> None:
    rows = pd.read_parquet(results / "tiny" / "tables" / "training.parquet")
    runs = rows.pivot_table(index="training_replicate", columns="regime", values="value")
    errors = [(runs[name] - runs["none"]).std() / 2.0 for name in ("standard", "late")]
    found, advice = pilot_lines(grid(4), results)
    assert f"4 training replicates find a difference of {resolvable(max(errors), 3.0, 2):.2g} in the regime" in found
    assert "sst2 x bert, test loss" in found
    assert advice.startswith(f"pilot:   for {resolvable(max(errors), 3.0, 2) / 2:.2g}: ")


def test_a_wish_of_the_grid_decides_the_advice(results: Path) -> None:
    *_, advice = pilot_lines(grid(4, resolve={"loss": 7.5}), results)
    assert advice.startswith("pilot:   for 7.5: ")
    assert advice.endswith(" s an arm")


def test_no_tables_no_pilot_and_tables_of_another_grid_are_named(results: Path) -> None:
    assert not list(pilot_lines(grid(4, name="other"), results))
    (line,) = pilot_lines(grid(4, regimes={"none": {}}), results)
    assert "are not of what it is now" in line


def test_costs_are_those_of_the_cells(results: Path) -> None:
    path = results / "tiny" / "tables" / "cells.parquet"
    cells = pd.read_parquet(path)
    cells.assign(seconds=100.0).to_parquet(path)
    *_, dear = pilot_lines(grid(4, resolve={"loss": 7.5}), results)
    cells.assign(seconds=1.0).to_parquet(path)
    *_, cheap = pilot_lines(grid(4, resolve={"loss": 7.5}), results)
    seconds = [int(line.rsplit(", ", 1)[1].split()[0]) for line in (dear, cheap)]
    assert seconds[0] == 100 * seconds[1]
