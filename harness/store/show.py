"""What `show CELL` prints: everything about one cell."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import UserError
from harness.identity import environment_digest, flatten
from harness.store.store import Store


def find(store: Store, prefix: str) -> str:
    """The uid that starts with `prefix`.

    Raises:
        UserError: none or several do.
    """
    found = [uid for uid in store.uids() if uid.startswith(prefix)] if prefix else []
    if len(found) != 1:
        what = "no cell starts with" if not found else f"{len(found)} cells start with"
        raise UserError(f"show: {what} '{prefix}' in {store.cells} (uids are in the report's cells table)")
    return found[0]


def lines(store: Store, prefix: str) -> Iterator[str]:
    """Status, identity, environment, metrics and files of one cell, a fact a line."""
    uid = find(store, prefix)
    record = store.record(uid)
    assert record is not None
    yield f"{record.kind} cell {uid}: {record.status}{': ' + record.reason if record.reason else ''}"
    yield f"finished {record.finished} after {record.seconds} s"
    yield "identity"
    yield from (f"  {key} = {value}" for key, value in flatten(record.identity))
    same = "this one" if record.environment == environment_digest() else "another than this one"
    yield f"environment {record.environment} ({same})"
    yield from (f"  {key} = {value}" for key, value in record.versions.items())
    yield "result"
    yield from (f"  {key} = {value}" for key, value in flatten(record.summary))
    yield f"files in {store.folder(uid)}"
    yield from (f"  {name} {digest[:12]}" for name, digest in record.checksums.items())
