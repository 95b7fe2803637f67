"""Text metrics of the user's own: files of a folder `text_metrics/` in the working directory, as `tasks/` has tasks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from harness.errors import UserError
from harness.files import import_file
from harness.inference.metrics import METRICS

FOLDER = "text_metrics"


def load_own_metrics() -> None:
    """Registers the metrics of every file of the folder; each file once in a process.

    Raises:
        UserError: a file fails to import, registers nothing, or takes a name that there is already.
    """
    for path in sorted((Path.cwd() / FOLDER).glob("[a-z]*.py")):
        _load(path)


@cache
def _load(path: Path) -> None:
    before = set(METRICS)
    try:
        import_file(path, "metric")
    except Exception as error:
        for half in set(METRICS) - before:
            del METRICS[half]
        raise UserError(f"metric file {path} fails to import: {type(error).__name__}: {error}") from error
    if set(METRICS) == before:
        raise UserError(f'metric file {path} registers no metric (write @text_metric("name", ...) above its function)')
