"""The disk estimate of `plan`."""

from __future__ import annotations

from pathlib import Path

import pytest
from toolbox import tiny_grid, write_data

from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Record, Store
from harness.store.disk import disk_estimate


def test_missing_cells_take_what_stored_ones_of_their_kind_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "results")
    cells = expand(parse_grid(tiny_grid(), "grid.yaml"), store, tmp_path).training
    to_do = {cell.uid for cell in cells}
    assert disk_estimate(cells, to_do, store) is None
    first = cells[0]
    store.save(Record(first.uid, first.kind, "done", first.identity), text={"note.txt": "x" * 5000})
    size = sum(path.stat().st_size for path in store.folder(first.uid).iterdir())
    assert disk_estimate(cells, to_do - {first.uid}, store) == size * (len(to_do) - 1)
    assert disk_estimate(cells, set(), store) == 0
