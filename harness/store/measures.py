"""Metrics of stored texts, each computed once: what tables, tracking and a rebuilt report share.

They are kept below `results/cache/metrics/`, a file a cell (or a cell's group of replicates), under a key that holds
whatever can change them: the cell, its tables' checksums, the code of every metric, and the libraries behind them. A
file with another key, or one that is not what was written, is computed anew; removing the folder loses no number.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

import harness.data
import harness.inference.metrics as metrics_package
from harness.data.task import Task
from harness.errors import CellError
from harness.files import write_atomically
from harness.identity import uid
from harness.inference import context, copies
from harness.inference.context import Context
from harness.inference.copies import Longs
from harness.inference.metrics.frames import across_replicates, cell_metrics, tidy
from harness.inference.metrics.registry import METRICS, Text
from harness.spec.cells import GenerationCell, Problem
from harness.store.store import Store

LIBRARIES = ("numpy", "sacrebleu", "rouge-score", "tokenizers")


class TextMeasures:
    """Metrics of the generation cells of one store; made once by whoever asks for many."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.root / "cache" / "metrics"
        self._contexts: dict[str, Context] = {}
        self._copied: dict[str, Longs] = {}
        self._digest = ""

    def expect(self, cells: Iterable[GenerationCell]) -> None:
        """Prepares stored cells that will be asked for: their texts are searched for copies together, which is quicker.

        Raises:
            CellError: one is damaged, or its task's data changed.
        """
        groups: dict[str, dict[str, GenerationCell]] = {}
        for cell in cells:
            if cell.uid not in self._copied and self._read(cell.uid, self._key([cell])) is None:
                groups.setdefault(_problem_key(cell.parent.problem), {})[cell.uid] = cell
        for group in groups.values():
            self._find_copies(list(group.values()))

    def _find_copies(self, cells: Sequence[GenerationCell]) -> None:
        token_ids = [self._store.frame(cell.uid, "generations")["token_ids"].tolist() for cell in cells]
        found = self._context(cells[0]).copies([ids for rows in token_ids for ids in rows])
        begin = 0
        for cell, rows in zip(cells, token_ids, strict=True):
            self._copied[cell.uid] = found[begin : begin + len(rows)]
            begin += len(rows)

    def of_cell(self, cell: GenerationCell) -> pd.DataFrame:
        """Metrics of unit text and set of a stored cell: unit, prompt, metric, value.

        Registered metrics, the task's own judgement, and the stored numbers of the cell's table `scores`.

        Raises:
            CellError: the cell is damaged, its task's data changed, or two metrics have one name.
        """
        return self._once(cell.uid, [cell], lambda: self._compute(cell))

    def across(self, cells: Sequence[GenerationCell]) -> pd.DataFrame:
        """Metrics of unit prompt of the stored replicates of one checkpoint and setting; columns as `of_cell`."""
        return self._once(uid({"cells": [cell.uid for cell in cells]}), cells, lambda: self._compute_across(cells))

    def _compute(self, cell: GenerationCell) -> pd.DataFrame:
        generations = self._store.frame(cell.uid, "generations")
        prompts = generations["prompt"].tolist()
        parts = [cell_metrics(self._texts(cell, generations), prompts)]
        parts.append(tidy(prompts, *self._context(cell).judged(generations)))
        if "scores.parquet" in self._checksums(cell):
            parts.append(self._store.frame(cell.uid, "scores"))
        found = pd.concat([part for part in parts if not part.empty], ignore_index=True)
        twice = found.loc[found.duplicated(["unit", "prompt", "metric"]), "metric"]
        if len(twice):
            raise CellError(f"generation cell {cell.uid}: two values of metric {twice.iloc[0]} for one text or set")
        return found

    def _compute_across(self, cells: Sequence[GenerationCell]) -> pd.DataFrame:
        by_prompt: dict[str, list[Text]] = {}
        for cell in cells:
            generations = self._store.frame(cell.uid, "generations")
            # No metric of replicates asks for copies, which are costly to find.
            texts = self._context(cell).texts(cell, generations, None)
            for prompt, text in zip(generations["prompt"], texts, strict=True):
                by_prompt.setdefault(prompt, []).append(text)
        return across_replicates(by_prompt)

    def _texts(self, cell: GenerationCell, generations: pd.DataFrame) -> list[Text]:
        if cell.uid not in self._copied:
            self._find_copies([cell])
        return self._context(cell).texts(cell, generations, self._copied[cell.uid])

    def _context(self, cell: GenerationCell) -> Context:
        key = _problem_key(cell.parent.problem)
        if key not in self._contexts:
            self._contexts[key] = Context(cell.parent.problem, self._store.root / "cache" / "tokenizers")
        return self._contexts[key]

    def _checksums(self, cell: GenerationCell) -> dict[str, str]:
        record = self._store.record(cell.uid)
        if record is None:
            raise CellError(f"generation cell {cell.uid} is not stored")
        return {name: digest for name, digest in record.checksums.items() if name.endswith(".parquet")}

    def _code(self) -> str:
        """Digest of the code; not taken before it is needed, as a user's own metrics are found while a grid expands."""
        self._digest = self._digest or code_digest()
        return self._digest

    def _key(self, cells: Sequence[GenerationCell]) -> str:
        """Of everything that can change the metrics of these cells."""
        content = {cell.uid: self._checksums(cell) for cell in cells}
        task = file_digest([_file(type(self._context(cells[0]).task))])
        return uid({"cells": content, "code": self._code(), "task": task})

    def _once(self, name: str, cells: Sequence[GenerationCell], compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        key = self._key(cells)
        known = self._read(name, key)
        if known is not None:
            return known
        computed = compute()
        content = io.BytesIO()
        computed.to_parquet(content, index=False)
        body = content.getvalue()
        with contextlib.suppress(OSError):  # a full disk loses the shortcut, no number
            write_atomically(self._folder / name, f"{key} {hashlib.sha256(body).hexdigest()}\n".encode() + body)
        return computed

    def _read(self, name: str, key: str) -> pd.DataFrame | None:
        """What is kept under a name, None where it is of another key or not what was written."""
        try:
            head, _, body = (self._folder / name).read_bytes().partition(b"\n")
        except OSError:
            return None
        if head != f"{key} {hashlib.sha256(body).hexdigest()}".encode():
            return None
        return pd.read_parquet(io.BytesIO(body))


def code_digest() -> str:
    """Digest of all code that metrics are computed with, a user's own files included, and of the libraries behind."""
    folders = [Path(metrics_package.__file__).parent, *map(Path, harness.data.__path__)]
    files = {path for folder in folders for path in folder.glob("*.py")}
    files |= {Path(__file__), *(Path(str(module.__file__)) for module in (context, copies))}
    files |= {_file(getattr(metric.function, "func", metric.function)) for metric in METRICS.values()}
    versions = {library: metadata.version(library) for library in LIBRARIES}
    return uid({"files": file_digest(files), "metrics": sorted(METRICS), "libraries": versions})


def file_digest(files: Iterable[Path]) -> str:
    """Digest of the bytes of several files, in the order of their paths."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def _file(thing: type[Task] | Callable[..., Any]) -> Path:
    """The file that defines something."""
    return Path(str(sys.modules[thing.__module__].__file__))


def _problem_key(problem: Problem) -> str:
    return uid({**problem.shared_identity, "train_size": problem.train_size})


def by_setting(cells: Iterable[GenerationCell]) -> Iterator[list[GenerationCell]]:
    """The cells in groups of one checkpoint, named as one training replicate, and one setting; in their order."""
    groups: dict[tuple[Any, ...], list[GenerationCell]] = {}
    for cell in cells:
        factors = {name: value for name, value in cell.factors.items() if name != "inference_replicate"}
        groups.setdefault(tuple(factors.values()), []).append(cell)
    yield from groups.values()
