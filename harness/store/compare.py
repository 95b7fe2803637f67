"""Comparing two stores' results of one cell: the stored one, and the same cell computed again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from harness.errors import CellError
from harness.identity import difference
from harness.store.differences import (
    Difference,
    distances,
    frame_difference,
    joined,
    total,
    value_text,
    weights_difference,
)
from harness.store.store import Record, Store, checksums

Outcome = Literal["equal", "within", "differs", "damaged", "failed"]
WEIGHTS = "model.safetensors"
# What a person asks for first stands first; other tables follow by name.
TABLE_ORDER = ("history", "generations", "metrics", "predictions", "rates")


@dataclass(frozen=True)
class Verdict:
    """What became of one cell.

    Attributes:
        outcome: `equal` in every bit; `within` the tolerance; `differs`; the stored side is `damaged`; `failed` where
            the cell could not be computed again.
        detail: where it differs first, what is damaged or why it failed; empty for `equal`.
        environment: `key: stored -> here` of what differs between the environments; empty where nothing does.
    """

    uid: str
    outcome: Outcome
    detail: str = ""
    environment: str = ""

    @property
    def good(self) -> bool:
        """Whether the stored numbers were repeated."""
        return self.outcome in ("equal", "within")


def compare_cell(stored: Store, again: Store, uid: str, tolerance: float) -> Verdict:
    """Compares one cell of two stores; `seconds` and `finished` are not compared.

    Args:
        stored: holds the cell that is verified; first checked against its own checksums.
        again: holds the cell as it was computed again.
        uid: of the cell.
        tolerance: largest relative-or-absolute distance of floats that is not a difference.
    """
    try:
        old = stored.record(uid)
    except CellError as error:
        return Verdict(uid, "damaged", f"stored record is damaged: {error}")
    new = again.record(uid)
    if old is None or new is None or new.status in ("error", "skipped"):
        reason = "it is not stored" if old is None else new.reason if new else "it was not computed"
        return Verdict(uid, "failed", f"failed to re-run: {reason}")
    environment = environment_change(old.versions, new.versions)
    found = [part for part in _parts(stored, again, old, new, tolerance) if part.first]
    damage = damage_text(stored.folder(uid), old)
    if damage:
        return Verdict(uid, "damaged", ", ".join([damage, *(part.first for part in found)]), environment)
    return Verdict(uid, *_judged(found, tolerance), environment)


def _judged(found: list[Difference], tolerance: float) -> tuple[Outcome, str]:
    if not found:
        return "equal", ""
    beyond = [part.beyond for part in found if part.beyond]
    if beyond:
        return "differs", f"first difference at {', '.join(beyond)}"
    largest = max(part.largest for part in found)
    return "within", f"largest difference {largest:.1e}, first at {found[0].first}"


def _parts(stored: Store, again: Store, old: Record, new: Record, tolerance: float) -> Iterator[Difference]:
    """Every part of a cell, in the order in which a person asks for them."""
    if (old.status, old.reason) != (new.status, new.reason):
        yield total(f"status ({_status(old)} != {_status(new)})")
    if old.status != new.status:
        return
    one, two = stored.folder(old.uid), again.folder(old.uid)
    tables = sorted({*_tables(old), *_tables(new)}, key=_table_order)
    for name in tables[:1]:
        yield _table(name, one, two, tolerance)
    yield from _weights(one, two, old, new, tolerance)
    for name in tables[1:]:
        yield _table(name, one, two, tolerance)
    if old.kind != "generation":  # their summary holds a measurement of the machine, not a result
        yield _summary(old, new, tolerance)


def results_difference(one: Store, two: Store, uid: str) -> str:
    """Where the results of a cell that two stores hold differ first, bit for bit; empty where they are the same.

    Checkpoints are compared by their digest alone: a store need not have kept them. Tables of equal checksum are not
    read.

    Raises:
        CellError: a table is missing or damaged.
    """
    old, new = one.record(uid), two.record(uid)
    if old is None or new is None:
        raise CellError(f"cell {uid} is stored in one of two stores only")
    if (old.status, old.reason) != (new.status, new.reason):
        return f"status ({_status(old)} != {_status(new)})"
    for name in sorted({*_tables(old), *_tables(new)}, key=_table_order):
        file = f"{name}.parquet"
        if file not in old.checksums or file not in new.checksums:
            return f"table {name} is there only once"
        if old.checksums[file] != new.checksums[file]:
            found = frame_difference(name, one.frame(uid, name), two.frame(uid, name), 0.0).first
            if found:
                return found
    if old.kind == "generation":  # its summary holds a measurement of the machine, not a result
        return ""
    digests = [str(record.summary.get("checkpoint"))[:12] for record in (old, new)]
    if digests[0] != digests[1]:
        return f"digest of the weights ({' != '.join(digests)})"
    return _summary(old, new, 0.0).first


def _status(record: Record) -> str:
    return f"{record.status}: {record.reason}" if record.reason else record.status


def _tables(record: Record) -> list[str]:
    return [name.removesuffix(".parquet") for name in record.checksums if name.endswith(".parquet")]


def _table_order(name: str) -> tuple[int, str]:
    return TABLE_ORDER.index(name) if name in TABLE_ORDER else len(TABLE_ORDER), name


def _table(name: str, stored: Path, again: Path, tolerance: float) -> Difference:
    frames = []
    for side, folder in (("stored", stored), ("new", again)):
        try:
            frames.append(pd.read_parquet(folder / f"{name}.parquet"))
        except (OSError, ValueError, pa.ArrowException) as error:
            return total(f"{name}: the {side} table cannot be read ({' '.join(str(error).split())[:100]})")
    return frame_difference(name, frames[0], frames[1], tolerance)


def _weights(stored: Path, again: Path, old: Record, new: Record, tolerance: float) -> Iterator[Difference]:
    """The tensors of every checkpoint that the stored cell has kept; else the digest of the weights."""
    kept = sorted({name.split("/")[0] for name in old.checksums if name.endswith(f"/{WEIGHTS}")})
    for name in kept:
        found = weights_difference(stored / name / WEIGHTS, again / name / WEIGHTS, tolerance)
        yield found if name == "checkpoint" else _within(name, found)
    digests = [record.summary.get("checkpoint") for record in (old, new)]
    if "checkpoint" not in kept and digests[0] != digests[1]:
        text = " != ".join(str(digest)[:12] for digest in digests)
        yield total(f"digest of the weights ({text}; the stored checkpoint was not kept, so no tensor can be named)")


def _within(name: str, found: Difference) -> Difference:
    """A difference of another checkpoint than the selected one, with its name in front."""
    first, beyond = (f"{name}: {text}" if text else "" for text in (found.first, found.beyond))
    return Difference(first, beyond, found.largest)


def _summary(old: Record, new: Record, tolerance: float) -> Difference:
    """The record's own facts; the digest of the weights is compared with the weights."""
    one, two = ({**record.summary, "checkpoint": None} for record in (old, new))
    return joined([_fact(key, *pair, tolerance) for key, pair in difference(two, one).items()], "facts")


def _fact(key: str, stored: Any, again: Any, tolerance: float) -> Difference:
    text = f"summary ({key} {value_text(stored)} != {value_text(again)})"
    if not (isinstance(stored, float) and isinstance(again, float)):
        return total(text)
    distance = float(distances(np.array([stored]), np.array([again]))[0])
    return Difference(text, text if distance > tolerance else "", distance)


def environment_change(stored: dict[str, str], here: dict[str, str]) -> str:
    """What differs between two environments, as `key: stored -> here`; empty where nothing does."""
    changes = difference(dict(here), dict(stored))
    return ", ".join(f"{key}: {old or 'not stored'} -> {new or 'nothing'}" for key, (old, new) in changes.items())


def damage_text(folder: Path, record: Record) -> str:
    """What of a stored cell is not what was written, by its checksums; empty where all is sound."""
    actual = checksums(folder)
    wrong = {
        name: "checksum" if name in actual else "missing"
        for name, expected in record.checksums.items()
        if actual.get(name) != expected
    }
    groups: dict[str, list[str]] = {}
    for name, what in wrong.items():
        part, _, rest = name.rpartition("/")
        groups.setdefault(part, []).append(f"{rest}: {what}")
    return ", ".join(f"stored {part or 'table'} is damaged ({', '.join(files)})" for part, files in groups.items())
