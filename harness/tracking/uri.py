"""Tracking addresses: what may be printed of them, and a quick look at whether a local store can be opened."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from urllib.parse import unquote

_USER = re.compile(r"://\S*@")
_SECRET = re.compile(r"([?&;][^=&\s]*(?:pass|token|secret|key|sig)[^=&\s]*=)[^&\s]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Any text with the user, password and secret query values of its addresses replaced by `***`."""
    return _SECRET.sub(r"\1***", _USER.sub("://***@", text))


def sqlite_path(uri: str) -> Path | None:
    """The file of `sqlite:///relative` or `sqlite:////absolute`; None for any other address or a store in memory."""
    if not uri.startswith("sqlite:///"):
        return None
    path = unquote(uri.removeprefix("sqlite:///").split("?")[0])
    return Path(path) if path and path != ":memory:" else None


def check_sqlite(uri: str) -> None:
    """Makes the folder of a local store and opens it once.

    MLflow would try ten times over 100 seconds to open a file that cannot be opened.

    Raises:
        OSError: the folder cannot be made.
        sqlite3.Error: the file cannot be opened, cannot be written, or is no database.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA schema_version").fetchone()
        connection.rollback()
    finally:
        connection.close()
