"""The wheel carries the package, the shipped grids and the shipped tasks."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("twodice-*.whl"))


def test_the_wheel_carries_tasks_and_grids(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / "tasks").glob("*.py"):
        assert f"harness/_tasks/{path.name}" in names
    for path in (ROOT / "harness" / "grids").glob("*.yaml"):
        assert f"harness/grids/{path.name}" in names
    for name in ("page.html", "page.css", "page.js"):
        assert f"harness/reporting/page/{name}" in names
    assert not [name for name in names if name.startswith(("tasks/", "tests/", "results/"))]


def test_an_installed_wheel_finds_its_tasks(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = (
        "import sys; sys.path.insert(0, 'site'); import harness; assert 'site' in harness.__file__, harness.__file__\n"
        "from harness.data.task import load_task, task_names\n"
        "assert 'toy-language' in task_names(); load_task('toy-language', {}, None)\n"
        "from harness.spec.load import load_grid; load_grid('quick')"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_constraints_pin_everything_and_name_no_registry() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line for line in lines)
    assert "torch==2.13.0" in lines
    assert "pytorch-lightning==2.6.6" in lines
    assert not any("://" in line or line.startswith(("-", "lightning==")) for line in lines)
