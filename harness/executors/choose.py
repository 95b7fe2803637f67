"""Which cells a verification looks at: what is stored of a grid, one cell of it, or a seeded sample."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from harness.errors import CellError, UserError
from harness.executors.jobs import is_hit
from harness.spec.cells import Cell, GenerationCell, TrainingCell
from harness.spec.expand import Expansion
from harness.store import Store

Cells = dict[str, Cell]


def stored_cells(expansion: Expansion, store: Store) -> Cells:
    """The cells of a grid that have a result (done or diverged), by uid, in the order of the grid; equal ones once.

    One whose record is damaged counts as stored: that must be told.
    """
    return {cell.uid: cell for cell in expansion.cells if _is_stored(store, cell.uid)}


def _is_stored(store: Store, uid: str) -> bool:
    try:
        return is_hit(store.record(uid))
    except CellError:
        return True


def one_cell(prefix: str, stored: Cells) -> Cells:
    """The one stored cell of the grid whose uid starts so.

    Raises:
        UserError: none or several do.
    """
    found = [uid for uid in stored if uid.startswith(prefix)] if prefix else []
    if len(found) != 1:
        what = f"{len(found)} stored cells start" if found else "no stored cell of the grid starts"
        raise UserError(f"--cell {prefix!r}: {what} with it (uids are in the report's cells table)")
    return {found[0]: stored[found[0]]}


def sample(count: int, seed: int, stored: Cells) -> Cells:
    """A sample of training cells with their texts. A larger sample of the same cells contains the smaller one."""
    drawn = set(draw([uid for uid, cell in stored.items() if isinstance(cell, TrainingCell)], count, seed))
    return {
        uid: cell
        for uid, cell in stored.items()
        if uid in drawn or (isinstance(cell, GenerationCell) and cell.parent.uid in drawn)
    }


def draw(uids: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` of the uids (or all), drawn by the study seed: the smallest hashes of seed and uid."""
    return sorted(uids, key=lambda uid: hashlib.sha256(f"{seed} verify {uid}".encode()).digest())[:count]


def with_sources(chosen: Cells, stored: Cells, store: Store) -> Cells:
    """The chosen cells and, of texts whose checkpoint was not kept, the training cells that must be trained again."""
    needed = {uid for uid in texts_by_source(chosen.values()) if not has_checkpoint(store, uid)}
    return {uid: cell for uid, cell in stored.items() if uid in chosen or uid in needed}


def texts_by_source(cells: Iterable[Cell]) -> Mapping[str, list[GenerationCell]]:
    """The generation cells by the uid of the training cell whose checkpoint they come from."""
    texts: dict[str, list[GenerationCell]] = {}
    for cell in cells:
        if isinstance(cell, GenerationCell):
            texts.setdefault(cell.parent.uid, []).append(cell)
    return texts


def has_checkpoint(store: Store, uid: str) -> bool:
    """Whether a cell was stored with its checkpoint; one that is damaged or lost since counts: it must be told."""
    try:
        record = store.record(uid)
    except CellError:
        return True
    return record is not None and any(name.startswith("checkpoint/") for name in record.checksums)
