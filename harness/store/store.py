"""Cells on disk. A cell's folder is written under a temporary name and renamed, so it is whole or absent."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import CellError, UserError
from harness.files import write_durably
from harness.identity import Identity, canonical
from harness.identity import uid as uid_of

# done and diverged are results and are kept; error is retried; skipped never ran.
CELL_STATUSES = ("done", "diverged", "error", "skipped")


def home() -> Path:
    """Where `results/` and `reports/` are made: TWODICE_HOME or the current folder."""
    return Path(os.environ.get("TWODICE_HOME") or Path.cwd())


@dataclass(frozen=True)
class Record:
    """One cell's `cell.json`.

    Attributes:
        identity: everything that can change the numbers; its hash is the uid.
        summary: small facts about the result that tables and tracking use (not part of the identity).
        checksums: SHA-256 of every other file of the folder.
        environment: digest of the environment; `versions` spells it out.
        seconds, finished: volatile.
    """

    uid: str
    kind: str
    status: str
    identity: Identity
    reason: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    environment: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    finished: str = ""
    checksums: dict[str, str] = field(default_factory=dict)


class Store:
    """The cells below one results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cells = root / "cells"

    def folder(self, uid: str) -> Path:
        """Where a cell is, or would be.

        Raises:
            UserError: not a uid (a uid is hex digits, so that it can never leave the store).
        """
        if len(uid) != 20 or any(character not in "0123456789abcdef" for character in uid):
            raise UserError(f"'{uid}' is not a cell's uid (20 hex digits)")
        return self.cells / uid

    def record(self, uid: str) -> Record | None:
        """A cell's record, or None where there is no such cell.

        Raises:
            CellError: the stored identity does not hash to its uid: the store was altered.
        """
        path = self.folder(uid) / "cell.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise CellError(f"{path} is damaged ({error}); delete its folder and run again") from None
        try:
            record = Record(**raw)
        except TypeError as error:
            raise CellError(f"{path} is no record of a cell ({error}); delete its folder and run again") from None
        if uid_of(record.identity) != uid or record.uid != uid:
            raise CellError(f"{path} holds another experiment than its uid says; delete its folder and run again")
        return record

    def status(self, uid: str) -> str:
        """Status of a cell, `missing` where it is not stored."""
        record = self.record(uid)
        return record.status if record else "missing"

    def uids(self) -> list[str]:
        """All stored cells."""
        if not self.cells.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(self.cells) if not entry.name.startswith("."))

    def records(self) -> Iterator[Record]:
        """Records of all stored cells."""
        for uid in self.uids():
            record = self.record(uid)
            if record is not None:
                yield record

    def frame(self, uid: str, name: str) -> pd.DataFrame:
        """One table of a cell.

        Raises:
            CellError: it is missing or damaged.
        """
        path = self.folder(uid) / f"{name}.parquet"
        record = self.record(uid)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CellError(f"{path} cannot be read ({error.strerror}); delete its folder and run again") from None
        if record is None or hashlib.sha256(content).hexdigest() != record.checksums.get(path.name):
            raise CellError(f"{path} is not what was written (checksum); delete its folder and run again")
        return pd.read_parquet(io.BytesIO(content))

    def save(
        self,
        record: Record,
        frames: Mapping[str, pd.DataFrame] | None = None,
        folders: Mapping[str, Path] | None = None,
        text: Mapping[str, str] | None = None,
    ) -> Path:
        """Writes a cell whole: tables as Parquet, moved-in folders, text files, and its record last.

        A cell of the same uid is replaced (an error that was retried; a damaged cell).

        Raises:
            OSError: the disk is full or read-only; nothing half-written is left under the cell's name.
            ValueError: the identity does not hash to the uid, or an unknown status.
        """
        if uid_of(record.identity) != record.uid or record.status not in CELL_STATUSES:
            raise ValueError(f"not a valid record: {record.uid} {record.status}")
        canonical(record.summary)
        self.cells.mkdir(parents=True, exist_ok=True)
        temporary = self.cells / f".{record.uid}-{uuid.uuid4().hex[:8]}"
        temporary.mkdir()
        try:
            for name, frame in (frames or {}).items():
                frame.to_parquet(temporary / f"{name}.parquet", index=False)
            for name, source in (folders or {}).items():
                shutil.move(source, temporary / name)
            for name, content in (text or {}).items():
                (temporary / name).write_text(content, encoding="utf-8")
            whole = {**asdict(record), "checksums": checksums(temporary)}
            text_form = json.dumps(whole, indent=1, sort_keys=True, allow_nan=False)
            write_durably(temporary / "cell.json", text_form.encode())
            self._replace(temporary, self.folder(record.uid))
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return self.folder(record.uid)

    def _replace(self, temporary: Path, target: Path) -> None:
        if target.exists():
            old = self.cells / f".{target.name}-{uuid.uuid4().hex[:8]}-old"
            os.rename(target, old)
            os.rename(temporary, target)
            shutil.rmtree(old)
        else:
            os.rename(temporary, target)

    def sweep(self) -> None:
        """Removes what killed processes left under temporary names. Only for the one process that runs the grid."""
        for entry in list(self.cells.glob(".*")) if self.cells.is_dir() else []:
            shutil.rmtree(entry)


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def damaged(folder: Path, record: Record) -> str:
    """The first file of a cell whose content is not what was written, or an empty string."""
    for name, expected in record.checksums.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != expected:
            return name
    return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
