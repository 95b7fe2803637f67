"""Running a grid: what is missing is computed, everything is mirrored, tables and report are written."""

from __future__ import annotations

import fcntl
import fnmatch
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from harness.analysis.settings import setting_name
from harness.errors import UserError, nearest
from harness.executors.jobs import Event, Job, plan_jobs
from harness.executors.local import LocalPool
from harness.files import write_atomically
from harness.identity import uid
from harness.spec.cells import BaseCell, GenerationCell, TrainingCell, task_label
from harness.spec.expand import Expansion, expand
from harness.spec.grid import Grid, entry_name
from harness.store import Store
from harness.store.measures import TextMeasures
from harness.store.tables import cell_state, count_by_status
from harness.tracking.mirror import Mirror, local_uri
from harness.tracking.views import cell_view


@dataclass
class Outcome:
    """What a run did.

    Attributes:
        tables, built: the store's tables, and the report's.
        counts: cells of the grid by status.
        failed: (cell, reason) of the cells that ended in error.
        report: files of the report.
        tracking: why tracking is incomplete, or an empty string.
    """

    expansion: Expansion
    tables: dict[str, pd.DataFrame]
    built: dict[str, pd.DataFrame]
    counts: dict[str, int]
    failed: list[tuple[str, str]]
    report: list[Path]
    tracking: str = ""


@dataclass
class Runner:
    """One run of one grid.

    Args:
        grid: what to run.
        root: the folder of `results/` and `reports/`.
        data: folder of real data sets.
        jobs: worker processes.
        only: `key=pattern` filters on task, model and regime; the rest of the grid is left as it is.
        fail_fast: stop after the first error.
        listen: told of every event; `started` is told of the jobs of each round.
        say: takes lines for a person.
    """

    grid: Grid
    root: Path
    data: Path | None = None
    jobs: int = 1
    only: Sequence[str] = ()
    fail_fast: bool = False
    listen: Callable[[Event], None] = lambda event: None
    started: Callable[[Sequence[Job]], None] = lambda jobs: None
    say: Callable[[str], None] = print
    _texts: dict[str, list[GenerationCell]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.results = self.root / "results"
        self.store = Store(self.results)
        self._measures = TextMeasures(self.store)
        self.folder = self.results / self.grid.name
        self.report_folder = self.root / "reports" / self.grid.name

    def run(self) -> Outcome:
        """Computes what is missing, then writes tables, report and tracking.

        Raises:
            UserError: the grid is wrong, or another run works on this results folder.
        """
        filters = parse_filters(self.only, self.grid)
        expansion = expand(self.grid, self.store, self.data)
        with only_run(self.results):
            self.store.sweep()
            uri = os.environ.get("MLFLOW_TRACKING_URI") or local_uri(self.results)
            with Mirror(uri, self.results / "mlartifacts", "twodice", self.say) as mirror:
                opened = self._compute(expansion, filters, mirror)
                expansion = expand(self.grid, self.store, self.data)
                outcome = self._conclude(expansion)
                self._track(outcome, mirror, opened)
        return outcome

    def _compute(self, expansion: Expansion, filters: Filters, mirror: Mirror) -> bool:
        """Runs rounds of jobs until none is left: selection first, then what it decides. True where any ran."""
        tried: set[str] = set()
        with LocalPool(self.results, self.jobs, self.grid.keep, self.folder / "logs") as pool:
            while True:
                jobs = [job for job in plan_jobs(expansion, self.store) if job.cell.uid not in tried]
                jobs = keep_matching(jobs, filters)
                if not jobs:
                    return bool(tried)
                if not tried:
                    self._open(mirror)
                tried |= {job.cell.uid for job in jobs}
                self._remember(expansion)
                self.started(jobs)
                pool.run(jobs, self.listen, lambda job: self._mirror_job(mirror, job), fail_fast=self.fail_fast)
                expansion = expand(self.grid, self.store, self.data)

    def _remember(self, expansion: Expansion) -> None:
        self._texts = {}
        for cell in expansion.generation:
            self._texts.setdefault(cell.parent.uid, []).append(cell)

    def _open(self, mirror: Mirror) -> None:
        grid = self.grid
        training = grid.replicates.training
        levels = training.roles if isinstance(training.roles, dict) else training.count
        params = {
            "grid": grid.name,
            "seed.study": grid.seed,
            "regimes": ", ".join(grid.regimes),
            "replicates.training": str(levels),
            "replicates.design": training.design,
            "replicates.inference": grid.replicates.inference.count,
        }
        mirror.open_grid(grid.name, params, {"description": grid.description}, seed=grid.seed)

    def _mirror_job(self, mirror: Mirror, job: Job) -> None:
        if isinstance(job.cell, TrainingCell) and not job.cell.selection:
            self._log(mirror, job.cell)

    def _log(self, mirror: Mirror, cell: TrainingCell) -> None:
        view = cell_view(cell, self._texts.get(cell.uid, []), self.store, self._measures)
        if view is not None:
            mirror.log_cell(view)

    def _conclude(self, expansion: Expansion) -> Outcome:
        from harness.reporting.build import of_grids, write

        subject = of_grids([expansion], self.store, self._measures)
        states = [(cell, *cell_state(cell, self.store)) for cell in expansion.unique]
        built = write(subject, self.root, say=self.say)
        failed = [(describe(cell), reason) for cell, status, reason in states if status == "error"]
        counts = count_by_status([status for _, status, _ in states] + [skip.status for skip in expansion.skipped])
        return Outcome(expansion, dict(subject.tables), built.tables, counts, failed, built.files)

    def _track(self, outcome: Outcome, mirror: Mirror, opened: bool) -> None:
        """Mirrors what is not mirrored yet; nothing to do (and no import of mlflow) where nothing changed."""
        state = {"uri": mirror.uri, "cells": uid({"cells": [list(row) for row in self._states(outcome.expansion)]})}
        marker = self.folder / "tracking.json"
        known = json.loads(marker.read_text(encoding="utf-8")) if marker.is_file() else None
        if not opened and known == state and (self.results / "mlflow.db").exists() == mirror.uri.startswith("sqlite"):
            return
        if not opened:
            self._open(mirror)
        self._remember(outcome.expansion)
        for cell in outcome.expansion.training:
            self._log(mirror, cell)
        artifacts = [*sorted((self.folder / "tables").glob("*.parquet")), *outcome.report]
        mirror.close_grid(artifacts, "FAILED" if outcome.failed else "FINISHED")
        outcome.tracking = mirror.failed
        if not mirror.failed:
            write_atomically(marker, json.dumps(state))

    def _states(self, expansion: Expansion) -> Iterator[tuple[str, str]]:
        for cell in expansion.cells:
            yield cell.uid, cell_state(cell, self.store)[0]


@contextmanager
def only_run(results: Path) -> Iterator[None]:
    """Holds the lock of a results folder: two runs at once would sweep each other's unfinished cells.

    Raises:
        UserError: another run holds it.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = (results / ".lock").open("w")
    except OSError as error:
        raise UserError(f"{results} cannot be written ({error.strerror}); TWODICE_HOME names another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another `twodice run` is working in {results} (or `verify`); wait for it, or set TWODICE_HOME"
            ) from None
        yield


Filters = dict[str, list[str]]


def parse_filters(only: Sequence[str], grid: Grid) -> Filters:
    """`--only` filters: patterns by key; several patterns of one key are alternatives.

    Raises:
        UserError: not `key=pattern`, an unknown key, or a pattern that nothing in the grid matches.
    """
    models, tasks = [entry_name(entry) for entry in grid.models], [entry_name(entry) for entry in grid.tasks]
    axes = {
        "task": [*tasks, *(task_label(task, size) for task in tasks for size in grid.train_sizes if size)],
        "model": [*models, *(Path(model).name for model in models)],
        "regime": list(grid.regimes),
    }
    filters: Filters = {}
    for text in only:
        key, separator, pattern = text.partition("=")
        if key not in axes or not separator:
            raise UserError(f"--only {text!r}: write key=pattern{nearest(key, list(axes))}")
        if not fnmatch.filter(axes[key], pattern):
            raise UserError(f"--only {text!r}: no such {key} in the grid{nearest(pattern, axes[key])}")
        filters.setdefault(key, []).append(pattern)
    return filters


def keep_matching(jobs: list[Job], filters: Filters) -> list[Job]:
    """The jobs that match all filters, and the bases that they need."""

    def matches(job: Job) -> bool:
        if isinstance(job.cell, BaseCell):
            return False
        factors = job.cell.factors
        # A size of a training set is asked for by the task's name, which means all sizes, or by its label.
        names = {key: {str(factors[key])} for key in filters} | {"task": {job.cell.problem.task, factors["task"]}}
        return all(
            any(fnmatch.filter(names[key], pattern) for pattern in patterns) for key, patterns in filters.items()
        )

    kept = [job for job in jobs if matches(job)]
    needed = {job.needs for job in kept}
    return [job for job in jobs if isinstance(job.cell, BaseCell) and (not filters or job.cell.uid in needed)] + kept


def describe(cell: BaseCell | TrainingCell | GenerationCell) -> str:
    """A cell's name for a person."""
    if isinstance(cell, BaseCell):
        return f"{cell.problem.label} {cell.problem.model.name} base"
    training = cell.parent if isinstance(cell, GenerationCell) else cell
    factors = training.factors
    name = f"{factors['task']} {factors['model']} {factors['regime']} r{factors['training_replicate']}"
    if training.selection:
        return f"{name.rsplit(' ', 1)[0]} lr={training.learning_rate:g} (selection)"
    if isinstance(cell, GenerationCell):
        return f"{name} {setting_name(**cell.setting.factors)} d{cell.level}"
    return f"{name} repeat {training.repeat}" if training.repeat else name
