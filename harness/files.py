"""Files that are whole or unchanged, and files of the user's that are run."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
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


def import_file(path: Path, kind: str) -> None:
    """Runs a user's Python file as a module of its own, under a name that its path decides.

    Raises:
        Exception: whatever the file raises.
    """
    name = f"twodice_{kind}_{hashlib.sha256(os.fspath(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
