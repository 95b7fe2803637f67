"""One worker process: it stays alive across cells, keeps one torch thread, and speaks over a pipe."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from harness.executors.jobs import Event, Job, run_job
from harness.store import Store

# One thread per worker, in every library that would start its own; quiet and offline-friendly.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
PROGRESS_SECONDS = 0.25


def serve(connection: Connection, results: Path, keep: str, log: Path) -> None:
    """Runs jobs from the pipe until it closes; the parent's end closing (its death too) ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with_parent()
    _redirect(log)

    def send(message: Event | None) -> None:
        """Tells the parent; where it is gone this process ends at once, and no cell is blamed for it."""
        try:
            connection.send(message)
        except OSError:
            os._exit(0)

    from harness.training.cells import Worker

    gc.freeze()  # what the libraries hold is no garbage: looking through it took a fifth of a second per cell
    worker = Worker(Store(results), keep)
    send(Event("", "ready"))
    last = [0.0]

    def report(event: Event) -> None:
        if event.status == "running":
            now = time.monotonic()
            if now - last[0] < PROGRESS_SECONDS:
                return
            last[0] = now
        send(event)

    try:
        while True:
            job: Job = connection.recv()
            run_job(worker, job, report)
            # A finished cell's model and moments lie in reference cycles; gigabytes of them would wait for a full pass.
            gc.collect()
            send(None)
    except (EOFError, ConnectionResetError):
        os._exit(0)


def _die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent dies (Linux; elsewhere the closed pipe does it later)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _redirect(log: Path) -> None:
    """Sends what libraries print to a file: the terminal belongs to the live table."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.open("a", buffering=1, encoding="utf-8")
    os.dup2(file.fileno(), sys.stdout.fileno() if sys.stdout else 1)
    os.dup2(file.fileno(), sys.stderr.fileno() if sys.stderr else 2)
