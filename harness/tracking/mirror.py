"""MLflow as a mirror of the store: grid run -> training-cell run -> one run per decoding setting, by parent tags.

One process writes, through `MlflowClient` only: fluent runs are global state, and parallel writers race when the
database is made. The tracking server may be slow, down or full: the mirror then says so once and turns itself off,
and the grid goes on, because every number is in the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.tracking.batches import as_text, clean, log
from harness.tracking.client import errors, new_client
from harness.tracking.runs import CELL, DIGEST, GRID_KEY, GRID_RUN, KIND, PARENT, SETTING, STATUS, UID, Logged, search
from harness.tracking.uri import check_sqlite, redact
from harness.tracking.view import CellView, DatasetView, SettingView

_RUN_STATUS = {"error": "FAILED"}


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def local_uri(results: Path) -> str:
    """The address of the local store of a results folder."""
    return f"sqlite:///{results.resolve() / 'mlflow.db'}"


class Mirror:
    """Writes one grid into one MLflow store. Use it as a context manager: no run stays RUNNING.

    Attributes:
        failed: why tracking turned itself off; empty while all is well.
    """

    def __init__(self, uri: str, artifacts: Path, experiment: str, warn: Callable[[str], None] = _to_stderr) -> None:
        """Nothing is opened yet.

        Args:
            uri: `sqlite:///...` or the address of a tracking server.
            artifacts: where a local store keeps files; a server decides for itself.
            experiment: the MLflow experiment; it is made where it is missing.
            warn: takes the one line that is said when tracking turns itself off.
        """
        self.uri, self.artifacts, self.experiment = uri, artifacts, experiment
        self.failed = ""
        self._warn = warn
        self._client: Any = None
        self._experiment_id = self._grid = ""
        self._logged: dict[tuple[str, str], Logged] = {}
        self._running: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.failed:
            with self._guard():
                self._stop_running()

    def open_grid(self, name: str, params: Mapping[str, object], tags: Mapping[str, str], *, seed: int) -> None:
        """Makes the grid's run, or takes up the one of the same grid name and study seed.

        Runs of this grid that a killed process left RUNNING are closed as KILLED. MLflow never changes a parameter:
        where one differs from the earlier start, the tag `twodice.now.<parameter>` has its new value.
        """
        if self.failed:
            return
        with self._guard():
            check_sqlite(self.uri)
            self._client = new_client(self.uri)
            self._experiment_id = self._find_experiment()
            self._take_up_grid(name, seed, params, tags)

    def log_cell(self, view: CellView) -> None:
        """Logs a training cell and its decoding settings; what is there already is left, what changed is replaced."""
        if self.failed:
            return
        with self._guard():
            known = self._logged.get((view.key, ""))
            if known is None or not known.holds(view.digest):
                self._log_new_cell(view)
            else:
                self._log_settings(view, known.run)

    def close_grid(self, artifacts: Sequence[Path] = (), status: str = "FINISHED") -> None:
        """Uploads the report's files (`report/`) and tables (`tables/`, Parquet) and ends the grid's run.

        Args:
            artifacts: files.
            status: FINISHED, FAILED or KILLED.
        """
        if self.failed:
            return
        with self._guard():
            for path in artifacts:
                folder = "tables" if path.suffix == ".parquet" else "report"
                self._client.log_artifact(self._grid, str(path), folder)
            self._client.set_tag(self._grid, STATUS, status.lower())
            self._client.set_terminated(self._grid, status)
            self._running.remove(self._grid)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """The boundary: a tracking error is told once and turns the mirror off; any other error goes through."""
        try:
            yield
        except errors() as error:
            reason = " ".join(redact(f"{type(error).__name__}: {error}").split())
            self.failed = reason if len(reason) <= 300 else f"{reason[:297]}..."
            self._warn(f"tracking into {redact(self.uri)} stopped, the grid goes on: {self.failed}")
            with contextlib.suppress(*errors()):  # told already; here only what can still be closed is closed
                self._stop_running()

    def _stop_running(self) -> None:
        while self._running:
            self._client.set_terminated(self._running[-1], "KILLED")
            self._running.pop()

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if not self.uri.startswith(("http://", "https://")):
            location = self.artifacts.resolve().as_uri()
        return str(self._client.create_experiment(self.experiment, artifact_location=location))

    def _take_up_grid(self, name: str, seed: int, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        key = hashlib.blake2b(json.dumps([name, seed]).encode(), digest_size=12).hexdigest()
        found = next(iter(search(self._client, self._experiment_id, GRID_KEY, key)), None)
        own = {GRID_KEY: key, KIND: "grid", STATUS: "running", **tags}
        if found is None:
            self._grid = self._client.create_run(self._experiment_id, tags=own, run_name=name).info.run_id
            self._running.append(self._grid)
            log(self._client, self._grid, {"grid": name, "seed": seed, **params}, (), {})
            return
        self._grid = found.info.run_id
        self._client.update_run(self._grid, status="RUNNING")
        self._running.append(self._grid)
        new, changed = _news(params, found.data.params, found.data.tags)
        log(self._client, self._grid, new, (), {**own, **changed})
        self._read_logged()

    def _read_logged(self) -> None:
        for run in search(self._client, self._experiment_id, GRID_RUN, self._grid):
            if run.info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, "KILLED")
            tags = run.data.tags
            ended = run.info.status in ("FINISHED", "FAILED")
            self._logged[tags[CELL], tags.get(SETTING, "")] = Logged(run.info.run_id, tags.get(DIGEST, ""), ended)

    def _log_new_cell(self, view: CellView) -> None:
        for key in [key for key in self._logged if key[0] == view.key]:
            self._client.delete_run(self._logged.pop(key).run)
        tags = {PARENT: self._grid, KIND: "training", STATUS: view.status, **view.tags}
        with self._run(view, "", view.name, view.digest, tags, _RUN_STATUS.get(view.status, "FINISHED")) as run:
            reason = {"twodice.reason": view.reason} if view.reason else {}
            log(self._client, run, view.params, _points(view), reason)
            if view.dataset is not None:
                self._client.log_inputs(run, [_dataset(view.dataset)])
            self._log_settings(view, run)

    def _log_settings(self, view: CellView, parent: str) -> None:
        for setting in view.settings:
            known = self._logged.get((view.key, setting.name))
            if known is not None and known.holds(setting.digest):
                continue
            if known is not None:
                self._client.delete_run(known.run)
            self._log_setting(view, setting, parent)

    def _log_setting(self, view: CellView, setting: SettingView, parent: str) -> None:
        tags = {PARENT: parent, KIND: "generation", SETTING: setting.name, STATUS: view.status, **view.tags}
        points = [(name, 0, value) for name, value in {**setting.metrics, "n_texts": float(setting.n)}.items()]
        with self._run(view, setting.name, f"{view.name} {setting.name}", setting.digest, tags, "FINISHED") as run:
            log(self._client, run, {**view.params, **setting.params}, points, {})

    @contextlib.contextmanager
    def _run(
        self, view: CellView, setting: str, name: str, digest: str, tags: Mapping[str, str], status: str
    ) -> Iterator[str]:
        """A run that is made, filled and ended; what is interrupted stays in `_running` and is closed as KILLED."""
        own = {UID: view.uid, CELL: view.key, GRID_RUN: self._grid, DIGEST: digest, **tags}
        run = str(self._client.create_run(self._experiment_id, tags=own, run_name=name).info.run_id)
        self._running.append(run)
        yield run
        self._client.set_terminated(run, status)
        self._running.remove(run)
        self._logged[view.key, setting] = Logged(run, digest, ended=True)


def _news(
    params: Mapping[str, object], before: Mapping[str, str], tags: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters that the run does not have yet, and as tags those that it has with another value."""
    now = {name: as_text(params[key]) for key, name in clean(params).items()}
    new = {name: value for name, value in now.items() if name not in before}
    tag = {name: f"twodice.now.{name}" for name in now}
    changed = {tag[n]: v for n, v in now.items() if n in before and (v != before[n] or tag[n] in tags)}
    return new, changed


def _points(view: CellView) -> Iterator[tuple[str, int, float]]:
    """Final metrics keep their names; curves are apart, so that a column of the UI never mixes last and final."""
    yield from ((name, 0, value) for name, value in view.metrics.items())
    yield from ((f"history.{name}", step, value) for name, step, value in view.history)
    yield from ((f"rate.{site}", step, rate) for site, step, rate in view.rates)


def _dataset(view: DatasetView) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": redact(view.source)})
    dataset = Dataset(name=view.name, digest=view.digest[:36], source_type="local", source=source)
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "training")])
