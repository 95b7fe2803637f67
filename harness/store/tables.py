"""The tidy tables of a grid: a view on its cells, rebuilt from them each time."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from harness.spec.cells import Cell, GenerationCell, TrainingCell
from harness.spec.expand import Expansion
from harness.store.curves import steps_to_loss
from harness.store.measures import TextMeasures, by_setting
from harness.store.regimes import REGIMES, regimes_table
from harness.store.stacked import REPLICATES, Stack
from harness.store.store import Record, Store

# Columns that a repeated run may change; no report table has them, and comparisons leave them out.
VOLATILE = ("seconds", "environment", "finished")
TABLES = (
    "cells", "training", "predictions", "generations", "generation_metrics", "repeated_texts", "rates", "history",
    "diagnostics", "selection", "regimes",
)  # fmt: skip

_TRAINING = ["uid", "task", "model", "regime", "learning_rate", "training_replicate", "init", "sample", "order", "mask",
             "repeat", "forwards"]  # fmt: skip
_GENERATION = ["uid", "training_uid", "task", "model", "regime", "training_replicate", "top_k", "temperature", "top_p",
               "min_p", "inference_replicate"]  # fmt: skip
COLUMNS: dict[str, list[str]] = {
    "cells": ["uid", "kind", "task", "model", "regime", "training_replicate", "repeat", "top_k", "temperature",
              "top_p", "min_p", "inference_replicate", "status", "reason", *VOLATILE],
    "training": [*_TRAINING, "design", "split", "metric", "value"],
    "predictions": ["uid", "split", "example", "label", "prediction", "loss", "targets"],
    "generations": [*_GENERATION, "prompt", "prompt_text", "text", "token_ids", "logprobs", "sampling_logprobs",
                    "finished"],
    "generation_metrics": [*_GENERATION, "unit", "prompt", "metric", "value"],
    "repeated_texts": [*_GENERATION, "repeat", "texts", "differing"],
    "rates": ["uid", "site", "step", "rate"],
    "history": ["uid", "step", "metric", "value"],
    "diagnostics": ["uid", "layer", "head", "metric", "value"],
    "selection": [*_TRAINING, "split", "metric", "value"],
    "regimes": REGIMES,
}  # fmt: skip


def build_tables(expansion: Expansion, store: Store, measures: TextMeasures | None = None) -> dict[str, pd.DataFrame]:
    """All tables of a grid from what is stored; a cell that is not done has a row in `cells` only.

    Args:
        expansion: the grid's cells.
        store: holds them.
        measures: of the same store, where the caller has some: what it has read of the tasks is not read again.

    Raises:
        CellError: a stored cell is damaged, or the data of a task changed since its texts were made.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    parts["cells"].append(_cells(expansion, store))
    seen: set[str] = set()
    for training in (*expansion.training, *expansion.selection):
        if _done(store.record(training.uid)):
            _add_training(parts, training, store, again=training.uid in seen)
            seen.add(training.uid)
    texts = [cell for cell in expansion.generation if cell.parent.uid in seen and _done(store.record(cell.uid))]
    parts["repeated_texts"] = [_repeated_texts(cell, store) for cell in texts if cell.parent.repeat]
    tables = {name: _join(name, frames) for name, frames in parts.items()}
    # A repeat measures the noise floor; its texts are not another replicate.
    tables |= _text_tables([cell for cell in texts if not cell.parent.repeat], store, measures or TextMeasures(store))
    tables["training"]["design"] = expansion.grid.replicates.training.design
    tables["regimes"] = regimes_table(expansion.grid)
    return tables


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Writes the tables as Parquet, each whole or unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, table in tables.items():
        temporary = folder / f".{name}-{uuid.uuid4().hex[:8]}"
        try:
            table.to_parquet(temporary, index=False)
            os.replace(temporary, folder / f"{name}.parquet")
        finally:
            temporary.unlink(missing_ok=True)
        paths.append(folder / f"{name}.parquet")
    return paths


def _done(record: Record | None) -> bool:
    return record is not None and record.status == "done"


def _join(name: str, frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if not frame.empty]
    if not filled:
        return pd.DataFrame({column: pd.Series(dtype=object) for column in COLUMNS[name]})
    joined = pd.concat(filled, ignore_index=True)
    for column in REPLICATES:
        if column in joined:
            joined[column] = joined[column].astype("Int64")
    extra = [column for column in joined if column not in COLUMNS[name]]
    return joined.reindex(columns=[*COLUMNS[name], *extra])


def _with(frame: pd.DataFrame, factors: dict[str, Any]) -> pd.DataFrame:
    """The factors as columns in front of a cell's rows."""
    columns = pd.DataFrame({name: [value] * len(frame) for name, value in factors.items()}, index=frame.index)
    return pd.concat([columns, frame], axis=1)


def _add_training(
    parts: dict[str, list[pd.DataFrame]], cell: TrainingCell, store: Store, *, again: bool = False
) -> None:
    """A cell's rows; of a cell that stands `again` under another name only those that carry names."""
    factors = {"uid": cell.uid, **cell.factors}
    table = "selection" if cell.selection else "training"
    parts[table].append(_with(store.frame(cell.uid, "metrics"), factors))
    if cell.selection:
        return
    if cell.training.steps_to_loss:
        reached = steps_to_loss(store.frame(cell.uid, "history"), cell.training.steps_to_loss)
        parts[table].append(_with(reached, factors))
    if again:
        return
    for name in ("predictions", "rates", "history", *(("diagnostics",) if cell.training.diagnostics else ())):
        parts[name].append(_with(store.frame(cell.uid, name), {"uid": cell.uid}))


def _text_tables(cells: list[GenerationCell], store: Store, measures: TextMeasures) -> dict[str, pd.DataFrame]:
    """Texts and their metrics, of cells that are done; those across replicates belong to a grid, not to one cell."""
    texts, metrics = Stack(), Stack()
    measures.expect(cells)
    for cell in cells:
        factors = {"uid": cell.uid, **cell.factors}
        texts.add(store.frame(cell.uid, "generations"), factors)
        metrics.add(measures.of_cell(cell), factors)
    for group in by_setting(cells):
        metrics.add(measures.across(group), {"uid": "", **group[0].factors, "inference_replicate": None})
    stacks = {"generations": texts, "generation_metrics": metrics}
    return {name: stack.joined(COLUMNS[name]) for name, stack in stacks.items()}


def _repeated_texts(cell: GenerationCell, store: Store) -> pd.DataFrame:
    """How many texts of an identical-seed repeat are not those of its first run; empty where that has none."""
    first = replace(cell, parent=replace(cell.parent, repeat=0))
    if not _done(store.record(first.uid)):
        return pd.DataFrame()
    mine, theirs = (_token_ids(store.frame(uid, "generations")) for uid in (cell.uid, first.uid))
    differing = sum(mine.get(prompt) != theirs.get(prompt) for prompt in mine.keys() | theirs.keys())
    counted = {"repeat": [cell.parent.repeat], "texts": [len(mine.keys() | theirs.keys())], "differing": [differing]}
    return _with(pd.DataFrame(counted), {"uid": cell.uid, **cell.factors})


def _token_ids(texts: pd.DataFrame) -> dict[str, list[int]]:
    return {prompt: list(ids) for prompt, ids in zip(texts["prompt"], texts["token_ids"], strict=True)}


def _cells(expansion: Expansion, store: Store) -> pd.DataFrame:
    rows = [_cell_row(cell, store) for cell in expansion.cells]
    for problem, regime in expansion.pending:
        row = {"uid": "", "kind": "training", "task": problem.label, "model": problem.model.name, "regime": regime.name}
        rows.append({**row, "status": "missing", "reason": "its learning rate is not selected yet"})
    for skip in expansion.skipped:
        for regime_name in [skip.regime] if skip.regime else expansion.grid.regimes:
            row = {"uid": "", "kind": "training", "task": skip.task, "model": skip.model, "regime": regime_name}
            rows.append({**row, "status": skip.status, "reason": skip.reason})
    return pd.DataFrame(rows)


def cell_state(cell: Cell, store: Store) -> tuple[str, str]:
    """Status and reason of a cell as the tables and `plan` tell it."""
    record = store.record(cell.uid)
    if record is not None:
        return record.status, record.reason
    for source, name in sources(cell):
        if store.status(source.uid) == "diverged":
            return "skipped", f"its {name} diverged"
    return "missing", "not run yet"


def sources(cell: Cell) -> list[tuple[Cell, str]]:
    """The cells that a cell starts from, nearest first, each with what it is to it."""
    if isinstance(cell, GenerationCell):
        return [(cell.parent, "training"), *sources(cell.parent)]
    base = cell.problem.base if isinstance(cell, TrainingCell) else None
    return [(base, "base")] if base else []


def _cell_row(cell: Cell, store: Store) -> dict[str, Any]:
    record = store.record(cell.uid)
    status, reason = cell_state(cell, store)
    if isinstance(cell, GenerationCell) and status == "done" and not _done(store.record(cell.parent.uid)):
        status, reason = "missing", "its texts are stored, but not the run that they are from"
    row: dict[str, Any] = {"uid": cell.uid, "kind": cell.kind, "status": status, "reason": reason}
    if isinstance(cell, GenerationCell):
        row.update({k: v for k, v in cell.factors.items() if k != "training_uid"}, repeat=cell.parent.repeat)
    elif isinstance(cell, TrainingCell):
        row.update({key: cell.factors[key] for key in ("task", "model", "regime", "training_replicate", "repeat")})
        row["kind"] = "selection" if cell.selection else "training"
    else:
        row.update(task=cell.problem.label, model=cell.problem.model.name)
    if record is not None:
        row.update({name: getattr(record, name) for name in VOLATILE})
    return row


def count_by_status(states: Iterable[str]) -> dict[str, int]:
    """How many cells have each status."""
    counts: dict[str, int] = {}
    for status in states:
        counts[status] = counts.get(status, 0) + 1
    return counts
