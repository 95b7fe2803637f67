"""Opens the MLflow UI on the local store, for this machine only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from harness.errors import UserError
from harness.tracking.client import prepare_environment
from harness.tracking.uri import redact, sqlite_path

HOST = "127.0.0.1"


def command(port: int) -> list[str]:
    """The server's command line; the store's address goes through the environment, out of sight of `ps`."""
    return [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]


def serve(uri: str, port: int) -> int:
    """Serves the MLflow UI of a store on loopback until it is interrupted; returns its exit code.

    Raises:
        UserError: the store is not there yet, the port is no port, or something else listens on it.
    """
    if uri.startswith(("http://", "https://")):
        raise UserError(f"{redact(uri)} is a tracking server: open it in a browser")
    path = sqlite_path(uri)
    if path is not None and not path.is_file():
        raise UserError(f"there is no tracking store at {path} yet: run a grid first")
    _check_port(port)
    prepare_environment()
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    try:
        return subprocess.run(command(port), env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise UserError(f"--port {port}: a port is a number from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"--port {port}: {error.strerror} on {HOST}; name another port") from None
