import socket
import sqlite3
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.tracking import server
from harness.tracking.uri import check_sqlite, redact, sqlite_path


@pytest.mark.parametrize(
    "uri",
    [
        "https://user:hunter2@mlflow.example.org:5000/path",
        "https://hunter2@mlflow.example.org",
        "postgresql+psycopg2://user:hun@ter2:hunter2@db/mlflow",
        "postgresql://user:hunter2/x@db/mlflow",
        "postgresql://db/mlflow?user=a&password=hunter2&sslmode=require",
        "https://mlflow.example.org/?access_token=hunter2",
        "API request to http://user:hunter2@h/api failed, retry http://user:hunter2@h/api",
    ],
)
def test_secrets_are_never_printed(uri):
    assert "hunter2" not in redact(uri)
    assert "***" in redact(uri)


@pytest.mark.parametrize("uri", ["sqlite:////tmp/results/mlflow.db", "http://127.0.0.1:5000", "no address at all"])
def test_what_holds_no_secret_is_left_alone(uri):
    assert redact(uri) == uri


def test_sqlite_path():
    assert sqlite_path("sqlite:///results/mlflow.db") == Path("results/mlflow.db")
    assert sqlite_path("sqlite:////abs/a%20b.db?timeout=3") == Path("/abs/a b.db")
    assert sqlite_path("sqlite:///:memory:") is None
    assert sqlite_path("http://127.0.0.1:5000") is None


def test_a_local_store_is_opened_once_before_mlflow_waits_for_it(tmp_path):
    check_sqlite(f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}")
    assert (tmp_path / "new").is_dir()
    (tmp_path / "text.db").write_text("this is no database, and long enough to have a header of its own")
    with pytest.raises(sqlite3.Error):
        check_sqlite(f"sqlite:///{tmp_path / 'text.db'}")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_sqlite(f"sqlite:///{tmp_path / 'file' / 'mlflow.db'}")


def test_the_ui_is_for_this_machine_only():
    command = server.command(5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"


def test_the_ui_refuses_what_it_cannot_serve(tmp_path):
    with pytest.raises(UserError, match="no tracking store"):
        server.serve(f"sqlite:///{tmp_path / 'mlflow.db'}", 5000)
    with pytest.raises(UserError, match=r"^https://\*\*\*@h is a tracking server"):
        server.serve("https://user:hunter2@h", 5000)
    (tmp_path / "mlflow.db").write_text("")
    with pytest.raises(UserError, match="from 1 to 65535"):
        server.serve(f"sqlite:///{tmp_path / 'mlflow.db'}", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="another port"):
            server.serve(f"sqlite:///{tmp_path / 'mlflow.db'}", taken.getsockname()[1])
