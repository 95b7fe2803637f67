"""The wheel carries the package, the shipped grids and the shipped tasks."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_wheel_carries_tasks_and_grids(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("twodice-*.whl"))).namelist()
    for path in (ROOT / "tasks").glob("*.py"):
        assert f"harness/_tasks/{path.name}" in names
    for path in (ROOT / "harness" / "grids").glob("*.yaml"):
        assert f"harness/grids/{path.name}" in names
    assert not [name for name in names if name.startswith(("tasks/", "tests/", "results/"))]


def test_an_installed_wheel_finds_its_tasks(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    site = tmp_path / "site"
    zipfile.ZipFile(next(tmp_path.glob("twodice-*.whl"))).extractall(site)
    program = (
        "import sys; sys.path.insert(0, 'site'); import harness; assert 'site' in harness.__file__, harness.__file__\n"
        "from harness.data.task import load_task, task_names\n"
        "assert 'toy-language' in task_names(); load_task('toy-language', {}, None)\n"
        "from harness.spec.grid import load_grid; load_grid('quick')"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_constraints_pin_everything_and_name_no_registry() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all("==" in line for line in lines)
    assert "torch==2.13.0" in lines
    assert "pytorch-lightning==2.6.6" in lines
    assert not any("://" in line or line.startswith(("-", "lightning==")) for line in lines)
