"""The rules of the house: light modules stay light, imports point down, no circles."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "harness"
HEAVY = ("torch", "pytorch_lightning", "transformers", "evaluate", "mlflow")
LIGHT = ("spec", "store", "analysis", "reporting", "data")
LIGHT_MODULES = ("harness.cli", "harness.identity", "harness.randomness", "harness.request", "harness.regimes.regime")

# Who may import whom: a package imports only packages on lower floors, or itself.
FLOORS = (
    ("errors", "files", "randomness", "identity", "request"),
    ("regimes", "data"),
    ("spec",),
    ("evaluation", "training", "inference", "store"),
    ("tracking", "analysis", "reporting"),
    ("executors",),
    ("cli",),
)


def modules() -> dict[str, Path]:
    """Every module of the package by dotted name."""
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path, known: set[str]) -> set[str]:
    """Modules of the package that a file imports when it is imported (not inside functions or for typing)."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("harness"):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & known
            found |= submodules or {node.module}
    return found


@pytest.mark.parametrize("folder", LIGHT)
def test_light_packages_import_without_the_heavy_libraries(folder: str) -> None:
    names = sorted(name for name in modules() if name.startswith(f"harness.{folder}"))
    check_light(names)


def test_light_modules_import_without_the_heavy_libraries() -> None:
    check_light([*LIGHT_MODULES, *(name for name in modules() if name.startswith("harness.regimes.schedules"))])


def check_light(names: list[str]) -> None:
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in HEAVY)
    program = f"import sys; {blocked}; import {', '.join(names)}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_no_module_imports_in_a_circle() -> None:
    known = modules()
    graph = {name: imports(path, set(known)) - {name} for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for target in graph.get(name, ()):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_imports_point_down() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    known = modules()
    upward = []
    for name, path in known.items():
        if name == "harness":
            continue
        mine = name.split(".")[1]
        for target in imports(path, set(known)):
            theirs = target.split(".")[1]
            if theirs != mine and floor[theirs] > floor[mine]:
                upward.append(f"{name} -> {target}")
    assert upward == []


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['twodice', '--help']\n"
        "from harness.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = [m for m in ('torch', 'pandas', 'numpy', 'pydantic', 'yaml', 'mlflow') if m in sys.modules]\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for command in ("plan", "run", "status", "report", "show", "list", "ui"):
        assert f"  {command} " in result.stdout
