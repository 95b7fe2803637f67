"""Jobs: what one worker does in one go. A job never raises; a cell that fails gets a status and a reason."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import CellError
from harness.spec.cells import BaseCell, Cell, GenerationCell, TrainingCell
from harness.spec.expand import Expansion
from harness.store import Record, Store

if TYPE_CHECKING:
    from harness.training.cells import Worker
    from harness.training.fit import Progress
    from harness.training.inputs import Inputs

# (kind of event, uid, details): progress of a step, or a finished cell with its status and reason.
Report = Callable[["Event"], None]


@dataclass(frozen=True)
class Event:
    """What a worker tells: a step of a cell, or a cell that has ended."""

    uid: str
    status: str
    reason: str = ""
    step: int = 0
    total: int = 0
    loss: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True)
class Job:
    """A base or training cell with its missing generation cells.

    Attributes:
        cell: what is trained, or (`train` False) only loaded for generation.
        generation: generation cells of this checkpoint that are missing.
        needs: uid of the base that must be done first.
    """

    cell: BaseCell | TrainingCell
    generation: tuple[GenerationCell, ...] = ()
    train: bool = True
    needs: str | None = None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells that this job computes."""
        return (*((self.cell,) if self.train else ()), *self.generation)


def is_hit(record: Record | None) -> bool:
    """A stored result that need not be computed: done or diverged. An error is tried again."""
    return record is not None and record.status in ("done", "diverged")


def plan_jobs(expansion: Expansion, store: Store) -> list[Job]:
    """The jobs of everything that is missing, bases first; equal cells once.

    While an arm's learning rate is pending, only bases and selection cells of all arms are planned beside the
    training cells that are known.
    """
    jobs: dict[str, Job] = {}
    records = {cell.uid: store.record(cell.uid) for cell in expansion.cells}
    for base in expansion.bases:
        if not is_hit(records[base.uid]):
            jobs[base.uid] = Job(base)
    texts: dict[str, dict[str, GenerationCell]] = {}
    for cell in expansion.generation:
        if not is_hit(records[cell.uid]):
            texts.setdefault(cell.parent.uid, {})[cell.uid] = cell
    for training in (*expansion.selection, *expansion.training):
        if training.uid in jobs:
            continue
        record = records[training.uid]
        missing = tuple(texts.get(training.uid, {}).values())
        start = training.problem.base
        if start is not None and store.status(start.uid) == "diverged":
            continue
        needs = start.uid if start and start.uid in jobs else None
        if not is_hit(record):
            jobs[training.uid] = Job(training, missing, needs=needs)
        elif missing and record is not None and record.status == "done":
            kept = (store.folder(training.uid) / "checkpoint").is_dir()
            jobs[training.uid] = Job(training, missing, train=not kept, needs=needs)  # texts are scored by the base
    return list(jobs.values())


def run_job(worker: Worker, job: Job, report: Report) -> None:
    """Computes a job's cells; whatever fails is stored as an error with its traceback, and reported."""
    ended: set[str] = set()

    def end(cell: Cell, status: str, reason: str = "") -> None:
        ended.add(cell.uid)
        report(Event(cell.uid, status, reason))

    def progress(step: int, total: int, loss: float, rate: float) -> None:
        report(Event(job.cell.uid, "running", step=step, total=total, loss=loss, rate=rate))

    try:
        _compute(worker, job, progress, end)
    except Exception as error:  # noqa: BLE001 - one failed cell never costs the others; it is stored and told
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
        for cell in job.cells:
            if cell.uid not in ended:
                end(cell, "error", save_error(worker.store, cell, reason, traceback.format_exc()))


def _compute(worker: Worker, job: Job, progress: Progress, end: Callable[..., None]) -> None:
    from harness.inference.cells import run_generation, stored_model
    from harness.training.cells import run_base, run_training

    cell = job.cell
    if isinstance(cell, BaseCell):
        end(cell, run_base(worker, cell, progress))
        return

    def then(model: Any, inputs: Inputs) -> None:
        """Generates from the model while it is in memory."""
        if job.train:
            end(cell, "done")
        if job.generation:
            run_generation(worker, list(job.generation), model, inputs)
        for text in job.generation:
            end(text, "done")

    base = cell.problem.base
    if base is not None and worker.store.status(base.uid) == "diverged":
        for skipped in job.cells:
            end(skipped, "skipped", "its base diverged")
        return
    if not job.train:
        inputs = worker.inputs(cell.problem)
        then(stored_model(worker.store, cell, inputs), inputs)
        return
    status = run_training(worker, cell, progress, then)
    if status != "done":
        record = worker.store.record(cell.uid)
        end(cell, status, record.reason if record else "")
        for text in job.generation:
            end(text, "skipped", f"its training {status}")


def save_error(store: Store, cell: Cell, reason: str, trace: str) -> str:
    """Stores a failed cell and returns the reason. A result from before, if any, stays: no error replaces it.

    Where even that cannot be stored (the disk is full), the reason says so; the event still tells it.
    """
    record = Record(uid=cell.uid, kind=cell.kind, status="error", identity=cell.identity, reason=reason)
    try:
        if not is_hit(store.record(cell.uid)):
            store.save(record, text={"traceback.txt": trace})
    except (OSError, CellError) as error:
        return f"{reason} (and the store could not take it: {error})"
    return reason
