"""The cells of several results folders, for example of several machines, seen as one store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.store.compare import environment_change, results_difference
from harness.store.store import Record, Store

RESULTS = ("done", "diverged")


class JoinedStore(Store):
    """A store that looks for its cells in several results folders; what is written goes to the first.

    A result (done or diverged) comes before an error, which would be tried again. Where several folders hold results
    of one cell, these must be the same in every bit; the one of the smallest environment digest is taken, so that the
    order of the folders does not matter.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        super().__init__(stores[0].root)
        self._stores = tuple(stores)
        self._owners: dict[str, Store] = {}

    def folder(self, uid: str) -> Path:
        """Where a cell is, or would be.

        Raises:
            UserError: not a uid, or two folders hold different results of it.
            CellError: its record is damaged.
        """
        if uid not in self._owners:
            owner = self._owner(uid)
            if owner is None:
                return super().folder(uid)
            self._owners[uid] = owner
        return self._owners[uid].folder(uid)

    def uids(self) -> list[str]:
        """All stored cells, each once."""
        return sorted({uid for store in self._stores for uid in store.uids()})

    def _owner(self, uid: str) -> Store | None:
        found = [(store, record) for store in self._stores if (record := store.record(uid)) is not None]
        results = sorted((pair for pair in found if pair[1].status in RESULTS), key=lambda pair: pair[1].environment)
        for other in results[1:]:
            _check_same(uid, results[0], other)
        return next((store for store, _ in results or found), None)


def joined(root: Path, more: Sequence[Path]) -> Store:
    """The store of a results folder, together with further ones.

    Args:
        root: where tables and caches are written.
        more: results folders that are only read.

    Raises:
        UserError: one of `more` is no results folder.
    """
    folders = {root.resolve(): Store(root)}
    for folder in more:
        if not (folder / "cells").is_dir():
            inner = folder / "results"
            hint = f"; did you mean {inner}?" if (inner / "cells").is_dir() else ""
            raise UserError(f"--store {folder}: no results folder: it has no folder 'cells'{hint}")
        folders.setdefault(folder.resolve(), Store(folder))
    stores = list(folders.values())
    return stores[0] if len(stores) == 1 else JoinedStore(stores)


def _check_same(uid: str, one: tuple[Store, Record], two: tuple[Store, Record]) -> None:
    """Refuses two different results of one cell.

    Raises:
        UserError: naming the cell, both folders, where they differ first, and in what their environments differ.
    """
    where = results_difference(one[0], two[0], uid)
    if not where:
        return
    change = environment_change(one[1].versions, two[1].versions)
    why = f"their environments differ ({change})" if change else "their environments are the same"
    raise UserError(
        f"cell {uid} has other results in {one[0].root} than in {two[0].root}: {where}; {why};"
        " use one of the two folders"
    )
