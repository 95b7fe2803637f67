"""The one place that imports mlflow: quiet, without telemetry, with short patience for a server that is down."""

from __future__ import annotations

import os
import sqlite3
from functools import cache
from typing import Any


class TrackingError(Exception):
    """MLflow cannot hold what it is given; the store can."""


# Set before mlflow is imported; a value that the user has set stands.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Its errors reach our boundary as exceptions and are told once, in one line; its own log adds tracebacks.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def prepare_environment() -> None:
    """What mlflow reads when it is imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@cache
def errors() -> tuple[type[Exception], ...]:
    """What a tracking store may raise when it is down, full, damaged, of another version, or lacks its driver."""
    plain: tuple[type[Exception], ...] = (TrackingError, sqlite3.Error, OSError, ImportError)
    prepare_environment()
    try:
        from alembic.util import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return plain
    return (*plain, MlflowException, SQLAlchemyError, CommandError)


def new_client(uri: str) -> Any:
    """A `MlflowClient` on one address; nothing global is set (no active run, no default tracking address)."""
    prepare_environment()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)
