"""How much disk the cells that are missing will take, from stored cells of the same kind and task."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from harness.spec.cells import Cell, GenerationCell
from harness.store.store import Store

# Stored cells that are measured of each kind and task; they are much alike.
MEASURED = 5
Kind = tuple[str, str]


def disk_estimate(cells: Sequence[Cell], to_do: AbstractSet[str], store: Store) -> int | None:
    """Bytes that the cells to do will take, or None where one of their kinds and tasks has no stored cell yet.

    Args:
        cells: of a grid, each once.
        to_do: uids of those that are not stored, or stored as an error.
        store: where the others are.
    """
    sizes: dict[Kind, list[int]] = {}
    for cell in cells:
        known = sizes.setdefault(_kind(cell), [])
        if cell.uid not in to_do and len(known) < MEASURED:
            known.append(_bytes(store, cell.uid))
    missing = [sizes[_kind(cell)] for cell in cells if cell.uid in to_do]
    if not all(missing):
        return None
    return sum(sorted(known)[len(known) // 2] for known in missing)


def _kind(cell: Cell) -> Kind:
    return cell.kind, (cell.parent if isinstance(cell, GenerationCell) else cell).problem.label


def _bytes(store: Store, uid: str) -> int:
    return sum(path.stat().st_size for path in store.folder(uid).rglob("*") if path.is_file())
