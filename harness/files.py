"""Files that are whole or unchanged."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Writes a new file and waits until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomically(path: Path, content: bytes | str) -> Path:
    """Writes beside the file and renames over it, so that a reader or a kill never meets half a file.

    Raises:
        OSError: the disk is full or the folder is read-only; the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        write_durably(temporary, content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
