"""Scratch stores: where stored cells are computed again, beside the results and never among them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from harness.errors import CellError
from harness.store import Store
from harness.store.compare import damage_text


@contextmanager
def scratch_folder(results: Path) -> Iterator[Path]:
    """A folder beside the resume checkpoints, gone at the end; also what a killed verification left there goes.

    Only under the lock of the results folder.
    """
    work = results / "work"
    work.mkdir(exist_ok=True)
    for left in work.glob("verify-*"):
        shutil.rmtree(left)
    folder = Path(tempfile.mkdtemp(prefix="verify-", dir=work))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_store(folder: Path, cache: Path) -> Store:
    """An empty store that shares the cache of trained tokenizers, which workers must find ready."""
    store = Store(folder)
    store.cells.mkdir(parents=True)
    if cache.is_dir():
        (folder / "cache").symlink_to(cache.resolve())
    return store


def lend(source: Store, uid: str, target: Store) -> str:
    """Puts a finished cell's checkpoint into another store, as a link; returns why it cannot be used, or nothing.

    Only the checkpoint must be sound: a damaged table of the cell decides nothing of what starts from it.
    """
    if target.status(uid) == "done":
        return ""
    try:
        record = source.record(uid)
    except CellError as error:
        return str(error)
    if record is None or record.status != "done":
        return f"its status is {record.status}" if record else "it is not stored"
    record = replace(record, checksums={k: v for k, v in record.checksums.items() if k.startswith("checkpoint/")})
    fault = damage_text(source.folder(uid), record)
    if not fault:
        folder = target.folder(uid)
        folder.mkdir()
        (folder / "checkpoint").symlink_to((source.folder(uid) / "checkpoint").resolve())
        (folder / "cell.json").write_text(json.dumps(asdict(record)), encoding="utf-8")
    return fault
