"""Verifying a grid: stored cells are computed again in a scratch store, by the same workers, and compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import CellError, UserError
from harness.executors.choose import (
    Cells,
    has_checkpoint,
    one_cell,
    sample,
    stored_cells,
    texts_by_source,
    with_sources,
)
from harness.executors.jobs import Event, Job
from harness.executors.local import LocalPool
from harness.executors.run import describe, only_run
from harness.executors.scratch import lend, scratch_folder, scratch_store
from harness.spec.cells import BaseCell, Cell, GenerationCell, TrainingCell
from harness.spec.expand import Expansion, expand
from harness.spec.grid import Grid
from harness.store import Store
from harness.store.compare import Verdict, compare_cell

TOLERANCE = 1e-5


@dataclass
class Verifier:
    """One verification of one grid. It only reads the stored cells, and holds the lock that `run` holds.

    Training cells start from the stored base, and texts come from the stored checkpoint (where none was kept, from the
    weights that are trained here): so one wrong cell is told once, and each cell answers for itself.

    Args:
        grid: whose cells are verified.
        root: the folder of `results/`.
        data: folder of real data sets.
        jobs: worker processes.
        cell: only the cell whose uid starts so.
        sample: only so many training cells, with their texts.
        tolerance: largest relative-or-absolute distance of floats that counts as equal.
        listen, started: told of events, and of the jobs of each round.
        say: takes lines for a person.
    """

    grid: Grid
    root: Path
    data: Path | None = None
    jobs: int = 1
    cell: str | None = None
    sample: int | None = None
    tolerance: float = TOLERANCE
    listen: Callable[[Event], None] = lambda event: None
    started: Callable[[Sequence[Job]], None] = lambda jobs: None
    say: Callable[[str], None] = print
    _verdicts: dict[str, Verdict] = field(default_factory=dict)
    _reasons: dict[str, str] = field(default_factory=dict)
    _total: int = 0

    def __post_init__(self) -> None:
        self.results = self.root / "results"
        self.store = Store(self.results)

    def verify(self) -> list[Verdict]:
        """A verdict for each verified cell, in the order of the grid.

        Raises:
            UserError: the grid is wrong, nothing of it is stored, there is no such cell, or a run is working.
        """
        if not 0 <= self.tolerance < float("inf"):
            raise UserError(f"--tolerance {self.tolerance:g}: must be 0 or a finite number above 0")
        if self.cell is not None and self.sample is not None:
            raise UserError("verify: give --cell or --sample, not both")
        with only_run(self.results):
            cells = self._chosen(expand(self.grid, self.store, self.data))
            with scratch_folder(self.results) as scratch:
                self._compute(cells, scratch)
        self._tell_environments()
        return [self._verdicts[uid] for uid in cells]

    def _chosen(self, expansion: Expansion) -> Cells:
        stored = stored_cells(expansion, self.store)
        if not stored:
            raise UserError(f"verify: nothing of grid {self.grid.name} is stored in {self.results}: run it first")
        left = len({cell.uid for cell in expansion.cells}) - len(stored)
        if left:
            self.say(f"{left} cells of the grid have no stored result and are not verified (`twodice status` says why)")
        chosen = stored
        if self.cell is not None:
            chosen = one_cell(self.cell, stored)
        elif self.sample is not None:
            chosen = sample(self.sample, self.grid.seed, stored)
            trained = sum(isinstance(cell, TrainingCell) for cell in chosen.values())
            self.say(f"sample: {trained} training cells drawn by the study seed {self.grid.seed}, with their texts")
        return with_sources(chosen, stored, self.store)

    def _compute(self, cells: Cells, scratch: Path) -> None:
        """Three rounds, each with a store of its own: what cells start from must not be what they are compared with."""
        names = ("trained", "bases", "read")
        trained, bases, read = (scratch_store(scratch / name, self.results / "cache") for name in names)
        keep = "all" if any((self.store.folder(uid) / "checkpoint-last").is_dir() for uid in cells) else "best"
        texts = texts_by_source(cells.values())
        self._total = len(cells)
        first = [self._training_job(cell, trained) for cell in cells.values() if isinstance(cell, TrainingCell)]
        self._round(first, trained, keep, needed={uid for uid in texts if not has_checkpoint(self.store, uid)})
        second = [Job(cell) for cell in cells.values() if isinstance(cell, BaseCell) and self._readable(cell)]
        self._round(second, bases, keep, set())
        self._round([self._text_job(group, trained, read) for group in texts.values()], read, keep, set())

    def _readable(self, cell: Cell) -> bool:
        """False, with a verdict, where not even the stored record can be read."""
        try:
            self.store.record(cell.uid)
        except CellError as error:
            self._judge(cell, Verdict(cell.uid, "damaged", f"stored record is damaged: {error}"))
            return False
        return True

    def _training_job(self, cell: TrainingCell, trained: Store) -> Job | None:
        """The job of a training cell, with its stored base where the worker looks for it."""
        if not self._readable(cell):
            return None
        base = cell.problem.base
        fault = lend(self.store, base.uid, trained) if base else ""
        if base and fault:
            self._judge(cell, Verdict(cell.uid, "failed", f"not re-run: its base {base.uid}: {fault}"))
            return None
        return Job(cell)

    def _text_job(self, group: list[GenerationCell], trained: Store, read: Store) -> Job | None:
        """The job of one checkpoint's texts: of the stored one or, where none was kept, of the one trained here."""
        cells = [cell for cell in group if self._readable(cell)]
        source = group[0].parent
        base, blame = source.problem.base, f"its training cell {source.uid}"
        fault = lend(self.store if has_checkpoint(self.store, source.uid) else trained, source.uid, read)
        if base and not fault:  # it scores the texts
            blame, fault = f"its base {base.uid}", lend(self.store, base.uid, read)
        if not fault:
            return Job(source, tuple(cells), train=False) if cells else None
        for cell in cells:
            self._judge(cell, Verdict(cell.uid, "failed", f"not re-run: {blame}: {fault}"))
        return None

    def _round(self, planned: Sequence[Job | None], again: Store, keep: str, needed: set[str]) -> None:
        """Computes jobs into the store `again`; a cell is compared as soon as its job has ended."""

        def listen(event: Event) -> None:
            self._reasons[event.uid] = event.reason
            self.listen(event)

        def ended(job: Job) -> None:
            for cell in job.cells:
                self._judge(cell, self._compared(cell, again))
                if cell.uid not in needed:  # the checkpoints of a whole grid may not fit on the disk
                    shutil.rmtree(again.folder(cell.uid), ignore_errors=True)

        jobs = [job for job in planned if job is not None]
        if not jobs:
            return
        self.started(jobs)
        with LocalPool(again.root, self.jobs, keep, self.results / self.grid.name / "logs" / "verify") as pool:
            pool.run(jobs, listen, ended)

    def _compared(self, cell: Cell, again: Store) -> Verdict:
        if again.record(cell.uid) is None:
            return Verdict(cell.uid, "failed", f"failed to re-run: {self._reasons.get(cell.uid) or 'no result'}")
        return compare_cell(self.store, again, cell.uid, self.tolerance)

    def _judge(self, cell: Cell, verdict: Verdict) -> None:
        self._verdicts[cell.uid] = verdict
        number = f"[{len(self._verdicts)}/{self._total}]"
        self.say(f"{number} {describe(cell)} ({cell.uid}): {answer(verdict, self.tolerance)}")

    def _tell_environments(self) -> None:
        changes: dict[str, int] = {}
        for verdict in self._verdicts.values():
            if verdict.environment:
                changes[verdict.environment] = changes.get(verdict.environment, 0) + 1
        for change, count in changes.items():
            self.say(f"environment of {count} cells is another, stored -> here: {change}")


def answer(verdict: Verdict, tolerance: float) -> str:
    """What is said of a cell; where its bits were not repeated, with what differs between the environments."""
    if verdict.outcome == "equal":
        return "bitwise equal"
    names = {"within": f"equal within {tolerance:g}: ", "differs": "differs: "}
    environment = f"environment {verdict.environment}" if verdict.environment else "same environment"
    asked = verdict.outcome in names or verdict.environment
    return f"{names.get(verdict.outcome, '')}{verdict.detail}{f' [{environment}]' if asked else ''}"


def last_line(verdicts: Sequence[Verdict], tolerance: float) -> str:
    """The count of all verdicts; damaged cells and those that could not be computed again differ."""
    equal, within = (sum(verdict.outcome == name for verdict in verdicts) for name in ("equal", "within"))
    differ = len(verdicts) - equal - within
    return f"verified {len(verdicts)} cells: {equal} bitwise equal, {within} within {tolerance:g}, {differ} differ"
