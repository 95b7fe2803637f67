"""What a reader of a report must know of the cells behind it, beside the tasks' own notes."""

from __future__ import annotations

from harness.analysis.intervals import share_interval
from harness.reporting.numbers import fixed
from harness.spec.expand import Expansion
from harness.store.store import Record, Store


def grid_notes(expansion: Expansion, store: Store) -> list[str]:
    """The notes of tasks and grid, then what the stored cells tell: late dropout, and texts that may flip."""
    return [*expansion.notes, *_untouched(expansion, store), *_flips(expansion, store)]


def _flips(expansion: Expansion, store: Store) -> list[str]:
    """Where a text may depend on the rows that it was computed with: how often it was seen to."""
    records = {cell.uid: (cell, store.record(cell.uid)) for cell in expansion.generation if not cell.setting.human}
    stored = [(cell, record) for cell, record in records.values() if record is not None]
    dependent = [(cell.parent.uid, r) for cell, r in stored if r.summary.get("rows_independent") is False]
    if not dependent:
        return []
    line = (
        f"{len(dependent)} of {len(stored)} generation cells: a row's bits depend on its neighbours here (GPU or "
        "threads); near-ties may give another text when the grid is cut in another way"
    )
    return [f"{line}; {_rate(dependent)}"]


def _rate(dependent: list[tuple[str, Record]]) -> str:
    """The pooled flip rate. All cells of one pass carry its one measurement, which counts once."""
    measured = {(uid, r.summary.get("pass"), *_counts(r)) for uid, r in dependent if "flips" in r.summary}
    texts, differing = sum(m[2] for m in measured), sum(m[3] for m in measured)
    if not texts:
        return "how often was not measured"
    low, high = share_interval(differing, texts)
    return (
        f"{differing} of {texts} texts differed when they were generated again among other rows: flip rate "
        f"{fixed(differing / texts, 4)}, 95 % interval (Clopper-Pearson) {fixed(low, 4)} to {fixed(high, 4)}"
    )


def _counts(record: Record) -> tuple[int, int]:
    flips = record.summary["flips"]
    return int(flips["texts"]), int(flips["differing"])


def _untouched(expansion: Expansion, store: Store) -> list[str]:
    """Arms whose selected weights were made before their dropout began: their numbers are those of no dropout."""
    counts: dict[str, int] = {}
    for cell in expansion.training:
        record = store.record(cell.uid)
        if not cell.regime.moves or record is None or record.status != "done":
            continue
        rates = store.frame(cell.uid, "rates")
        awake = rates.loc[rates["rate"] > 0, "step"]
        if len(awake) and record.summary["selected_step"] <= awake.min():
            counts[cell.regime.name] = counts.get(cell.regime.name, 0) + 1
    return [
        f"{name}: in {count} runs the selected weights were made before its dropout began"
        for name, count in counts.items()
    ]
