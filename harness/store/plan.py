"""What `plan` prints: the cells of a grid, what is done, what is missing and why."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from harness.identity import environment_digest, explain
from harness.spec.cells import Cell, GenerationCell, TrainingCell, task_label
from harness.spec.designs import fewest_levels
from harness.spec.expand import Expansion
from harness.store.cache import TextCache
from harness.store.disk import disk_estimate
from harness.store.store import Record, Store

Arm = tuple[str, str, str, str]


def summary(expansion: Expansion, store: Store) -> Iterator[Table | Text]:
    """A table with a row per arm and kind of cell, then notes: environment, time, pending and skipped arms."""
    records = {record.uid: record for record in store.records()}
    cells = expansion.cells
    table = Table(
        "kind", "task", "model", "regime", "cells", "done", "missing", "failed", "why", box=None, pad_edge=False
    )
    arms: dict[Arm, list[Cell]] = {}
    for cell in cells:
        arms.setdefault(_arm(cell), []).append(cell)
    for arm, members in arms.items():
        table.add_row(*(Text(value) for value in (*arm, *_counts(members, records))))
    yield table
    for line in _notes(expansion, cells, records, store):
        yield Text(line)
    yield from map(Text, _texts(expansion, store, records))


def _arm(cell: Cell) -> Arm:
    training = cell.parent if isinstance(cell, GenerationCell) else cell
    kind = "selection" if isinstance(cell, TrainingCell) and cell.selection else cell.kind
    regime = training.regime.name if isinstance(training, TrainingCell) else ""
    return kind, training.problem.label, training.problem.model.name, regime


def _counts(cells: list[Cell], records: dict[str, Record]) -> tuple[str, ...]:
    unique = {cell.uid: cell for cell in cells}
    stored = {uid: records[uid] for uid in unique if uid in records}
    done = sum(record.status == "done" for record in stored.values())
    failed = len(stored) - done
    missing = [cell for uid, cell in unique.items() if uid not in records]
    return str(len(unique)), str(done), str(len(missing)), str(failed), _why(missing, stored, records)


def _why(missing: list[Cell], stored: dict[str, Record], records: dict[str, Record]) -> str:
    failed = [record for record in stored.values() if record.status != "done"]
    if failed:
        return f"{failed[0].status}: {failed[0].reason}"
    if not missing:
        return ""
    first = missing[0]
    if isinstance(first, GenerationCell):
        parent = records.get(first.parent.uid)
        if parent is None:
            return "its training is missing"
        if parent.status == "diverged":
            return "its training diverged"
    return explain(first.identity, [record.identity for record in records.values()])


def _notes(expansion: Expansion, cells: list[Cell], records: dict[str, Record], store: Store) -> Iterator[str]:
    unique = {cell.uid: cell for cell in cells}
    here = environment_digest()
    hits = [records[uid] for uid in unique if uid in records]
    others = sum(record.environment not in ("", here) for record in hits)
    if others:
        yield f"note: {others} stored cells are from another environment (versions or processor); last bits may differ"
    to_do = [cell for uid, cell in unique.items() if uid not in records or records[uid].status == "error"]
    yield f"{len(unique)} cells, {len(to_do)} to compute{_time(to_do, records)}{_disk(to_do, unique, store)}"
    for problem, regime in expansion.pending:
        yield f"pending: {problem.label} x {problem.model.name} x {regime.name}: its learning rate is selected first"
    for skip in expansion.skipped:
        regime_name = f" x {skip.regime}" if skip.regime else ""
        yield f"skipped: {skip.task} x {skip.model}{regime_name}: {skip.reason}"
    replicates = expansion.grid.replicates.training
    count = fewest_levels(replicates)
    if count < 5:
        what = "training replicates" if replicates.design == "joint" else "levels of a training role"
        yield f"note: {count} {what}: intervals will be wide; a mean over so few seeds is no finding"
    yield from (f"note: {note}" for note in expansion.notes)


def _texts(expansion: Expansion, store: Store, records: dict[str, Record]) -> Iterator[str]:
    """How many texts are to be sampled, and how many of the missing cells' texts other cells have already."""
    missing = {
        cell.uid: cell
        for cell in expansion.generation
        if not cell.setting.human and (cell.uid not in records or records[cell.uid].status == "error")
    }
    cache, known, wanted = TextCache(store), 0, 0
    for cell in missing.values():
        prompts = {
            one.prompt.id for one in expansion.prompts[cell.parent.problem.label, cell.parent.problem.model.name]
        }
        parent = records.get(cell.parent.uid)
        stored = cache.texts(cell, str(parent.summary["checkpoint"])) if parent and parent.status == "done" else {}
        known += len(prompts & stored.keys())
        wanted += len(prompts)
    reused = f" ({known} more of the missing cells are stored in other cells)" if known else ""
    if missing:
        yield f"{wanted - known} texts to generate{reused}"
    for reason in cache.damaged.values():
        yield f"note: texts are not taken from a damaged cell: {reason}"


def _time(to_do: list[Cell], records: dict[str, Record]) -> str:
    """An estimate from finished cells of the same task and kind; nothing where none has finished."""
    seconds = 0.0
    for cell in to_do:
        task = (cell.parent if isinstance(cell, GenerationCell) else cell).problem.label
        known = [
            record.seconds
            for record in records.values()
            if record.kind == cell.kind and record.status == "done" and _task(record, records) == task
        ]
        if not known:
            return ""
        seconds += sorted(known)[len(known) // 2]
    return f", about {seconds:.0f} s of one worker" if to_do else ""


def _disk(to_do: list[Cell], unique: dict[str, Cell], store: Store) -> str:
    """An estimate from stored cells of the same task and kind; nothing where there are none."""
    size = disk_estimate(list(unique.values()), {cell.uid for cell in to_do}, store)
    return f", about {size / 1e6:.1f} MB on disk" if size else ""


def _task(record: Record, records: dict[str, Record]) -> str | None:
    identity = record.identity
    if record.kind == "generation":
        parent = records.get(identity["training"])
        return _task(parent, records) if parent else None
    return task_label(identity["task"]["name"], identity.get("train_size"))
