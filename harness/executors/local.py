"""Local worker processes. A worker that dies costs the cells of its job, and is replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness.errors import UserError
from harness.executors.jobs import Event, Job, save_error
from harness.executors.worker import ENVIRONMENT, serve
from harness.store import Store

Listener = Callable[[Event], None]


@dataclass
class _Slot:
    process: BaseProcess
    connection: Connection
    job: Job | None = None
    ready: bool = False
    started: bool = False


class LocalPool:
    """Runs jobs on `jobs` processes; use as a context manager, so that no process outlives it.

    Args:
        results: the store's folder.
        jobs: number of worker processes.
        keep: which checkpoints stay.
        logs: folder for what libraries print in workers.
    """

    def __init__(self, results: Path, jobs: int, keep: str, logs: Path) -> None:
        self.results, self.keep, self.logs = results, keep, logs
        self.store = Store(results)
        self.count = jobs
        self.slots: list[_Slot] = []

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *_: object) -> None:
        for slot in self.slots:
            slot.connection.close()
            slot.process.kill()
        for slot in self.slots:
            slot.process.join()

    def run(
        self, jobs: Sequence[Job], listen: Listener, ended: Callable[[Job], None], *, fail_fast: bool = False
    ) -> None:
        """Runs all jobs in order as workers come free; a job waits for the base that it needs.

        Args:
            jobs: what to compute.
            listen: told of every event, in this process.
            ended: told of every job that has ended, whatever became of its cells.
            fail_fast: stop handing out jobs after the first error; running ones end.
        """
        waiting = list(jobs)
        unfinished = {job.cell.uid for job in waiting}
        failed = False
        while True:
            while len(self.slots) < min(self.count, len(waiting)):
                self.slots.append(self._start(len(self.slots)))
            self._hand_out(waiting, unfinished, stop=failed and fail_fast)
            busy = [slot for slot in self.slots if slot.job is not None]
            if not busy and (not waiting or (failed and fail_fast)):
                return
            finished: list[Job] = []
            for slot, event in self._events():
                if event is None:
                    finished += self._finished(slot, unfinished)
                elif event.status == "ready":
                    slot.ready = slot.started = True
                else:
                    failed |= event.status == "error"
                    listen(event)
            # Workers first: what is told of a finished job (tracking) must not keep them waiting.
            self._hand_out(waiting, unfinished, stop=failed and fail_fast)
            for job in finished:
                ended(job)

    def _start(self, number: int) -> _Slot:
        # Set for the children only at their start; this process never imports torch.
        os.environ.update(ENVIRONMENT)
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self.results, self.keep, self.logs / f"worker-{number}.log")
        process = context.Process(target=serve, args=arguments, daemon=True, name=f"twodice-worker-{number}")
        process.start()
        theirs.close()
        return _Slot(process, ours)

    def _hand_out(self, waiting: list[Job], unfinished: set[str], *, stop: bool) -> None:
        for slot in self.slots:
            if not slot.ready or slot.job is not None or stop:
                continue
            job = next((job for job in waiting if job.needs not in unfinished), None)
            if job is None:
                return
            try:
                slot.connection.send(job)
            except OSError:
                slot.ready = False  # it has just died; `_events` replaces it
                continue
            waiting.remove(job)
            slot.job = job

    def _finished(self, slot: _Slot, unfinished: set[str]) -> list[Job]:
        if slot.job is None:
            return []
        job, slot.job = slot.job, None
        unfinished.discard(job.cell.uid)
        return [job]

    def _events(self) -> list[tuple[_Slot, Event | None]]:
        """What workers said; a dead worker's cells are errors, and another takes its place."""
        events: list[tuple[_Slot, Event | None]] = []
        ready = wait([slot.connection for slot in self.slots])
        for index, slot in enumerate(self.slots):
            if slot.connection not in ready:
                continue
            try:
                events.append((slot, slot.connection.recv()))
            except (EOFError, ConnectionResetError):
                events += [(slot, event) for event in self._bury(slot)]
                events.append((slot, None))
                fresh = self._start(index)
                slot.process, slot.connection, slot.ready = fresh.process, fresh.connection, False
                slot.started = False
        return events

    def _bury(self, slot: _Slot) -> list[Event]:
        slot.process.join()
        if slot.job is None and not slot.started:
            raise UserError(f"a worker process ended at its start: its log in {self.logs} says why")
        if slot.job is None:
            return []
        code = slot.process.exitcode
        reason = f"the worker process died (signal {-code})" if code and code < 0 else f"the worker exited with {code}"
        events = []
        for cell in slot.job.cells:
            record = self.store.record(cell.uid)
            if record is None or record.status == "error":
                events.append(Event(cell.uid, "error", save_error(self.store, cell, reason, "")))
            else:
                events.append(Event(cell.uid, record.status, record.reason))
        return events
