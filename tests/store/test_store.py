"""Cells on disk: whole or absent, addressed by content, damage is found and named."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import CellError, UserError
from harness.files import write_atomically
from harness.identity import uid
from harness.store import Record, Store
from harness.store.show import lines
from harness.store.store import checksums, damaged

IDENTITY = {"kind": "training", "seed": 1}
FRAME = pd.DataFrame({"metric": ["loss", "accuracy"], "value": [0.25, 1.0]})


def save(store: Store, status: str = "done", reason: str = "") -> Record:
    record = Record(uid(IDENTITY), "training", status, IDENTITY, reason, summary={"steps": 3})
    store.save(record, frames={"metrics": FRAME} if status == "done" else {}, text={"note.txt": "hello"})
    return record


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = save(store)
    read = store.record(record.uid)
    assert read is not None
    assert (read.status, read.identity, read.summary) == ("done", IDENTITY, {"steps": 3})
    pd.testing.assert_frame_equal(store.frame(record.uid, "metrics"), FRAME)
    assert set(read.checksums) == {"metrics.parquet", "note.txt"}
    assert store.uids() == [record.uid]


def test_an_absent_cell_is_missing(tmp_path: Path) -> None:
    assert Store(tmp_path).status("0" * 20) == "missing"
    assert Store(tmp_path).uids() == []


@pytest.mark.parametrize("wrong", ["../../etc", "abc", "G" * 20, "", "0" * 19 + "/"])
def test_a_uid_cannot_leave_the_store(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(UserError, match="not a cell's uid"):
        Store(tmp_path).folder(wrong)


def test_an_error_is_replaced_by_a_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    save(store, "error", "it broke")
    record = save(store)
    assert store.status(record.uid) == "done"
    assert [path.name for path in store.cells.iterdir()] == [record.uid]


def test_a_failed_save_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    record = save(store, "error", "first")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(OSError, match="No space left"):
        save(store)
    assert store.status(record.uid) == "error"
    assert [path.name for path in store.cells.iterdir()] == [record.uid]


def test_a_wrong_uid_or_status_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(ValueError, match="not a valid record"):
        store.save(Record("0" * 20, "training", "done", IDENTITY))
    with pytest.raises(ValueError, match="not a valid record"):
        store.save(Record(uid(IDENTITY), "training", "finished", IDENTITY))


def test_another_experiment_under_a_uid_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = save(store)
    path = store.folder(record.uid) / "cell.json"
    raw = json.loads(path.read_text())
    raw["identity"]["seed"] = 2
    path.write_text(json.dumps(raw))
    with pytest.raises(CellError, match="another experiment"):
        store.record(record.uid)
    path.write_text("{")
    with pytest.raises(CellError, match="is damaged"):
        store.record(record.uid)


def test_an_altered_table_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = save(store)
    path = store.folder(record.uid) / "metrics.parquet"
    FRAME.assign(value=0.5).to_parquet(path, index=False)
    with pytest.raises(CellError, match=r"metrics\.parquet is not what was written"):
        store.frame(record.uid, "metrics")
    path.unlink()
    with pytest.raises(CellError, match="cannot be read"):
        store.frame(record.uid, "metrics")


def test_one_changed_byte_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = store.record(save(store).uid)
    assert record is not None
    folder = store.folder(record.uid)
    assert damaged(folder, record) == ""
    (folder / "note.txt").write_text("hellp")
    assert damaged(folder, record) == "note.txt"


def test_sweeping_removes_only_unfinished_cells(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = save(store)
    (store.cells / f".{record.uid}-dead").mkdir()
    store.sweep()
    assert [path.name for path in store.cells.iterdir()] == [record.uid]


def test_show_tells_everything(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record = save(store, "error", "it broke")
    text = "\n".join(lines(store, record.uid[:6]))
    for part in (record.uid, "error: it broke", "seed = 1", "steps = 3", "note.txt"):
        assert part in text
    with pytest.raises(UserError, match="no cell starts with 'ffff'"):
        list(lines(store, "ffff"))


def test_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert list(checksums(tmp_path)) == ["deep/file.txt"]
