"""Reading a grid file: from a name or a path to a checked grid, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import UserError, nearest
from harness.spec.grid import (
    Decoding,
    Grid,
    InferenceReplicates,
    Replicates,
    SettingAxes,
    Training,
    TrainingReplicates,
    entry_name,
)
from harness.spec.published import published_numbers


def grid_folder() -> Path:
    """The grid files that ship with twodice."""
    return Path(__file__).resolve().parent.parent / "grids"


def find_grid(name: str) -> Path:
    """The file of a GRID argument: a path to a YAML file, or the name of a shipped grid.

    Raises:
        UserError: neither exists.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"grid file {path} does not exist")
        return path
    shipped = grid_folder() / f"{name}.yaml"
    if Path(name).name != name or not shipped.is_file():
        raise UserError(f"unknown grid '{name}'{nearest(name, sorted(p.stem for p in grid_folder().glob('*.yaml')))}")
    return shipped


def load_grid(name: str, overrides: list[str] | None = None) -> Grid:
    """Reads and checks a grid.

    Args:
        name: a shipped grid's name or a path.
        overrides: `key.sub=value` strings; values are YAML.

    Raises:
        UserError: one line naming file, key, value and what is allowed.
    """
    path = find_grid(name)
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_twice(yaml.compose(text, Loader=yaml.SafeLoader))
        raw = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except (yaml.YAMLError, OSError, RecursionError, ValueError) as error:
        raise UserError(f"{path}: is not readable YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: a grid is a mapping with keys such as name, tasks, models, regimes")
    for override in overrides or []:
        _override(raw, override)
    return parse_grid(raw, str(path))


def parse_grid(raw: dict[Any, Any], where: str) -> Grid:
    """Checks a grid given as a mapping.

    Raises:
        UserError: see `load_grid`.
    """
    try:
        grid = Grid.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{where}: {_first(error)}") from None
    for task in grid.by_task:
        try:
            grid.training_for(task)
        except ValidationError as error:
            raise UserError(f"{where}: by_task.{task}.{_first(error, ('training',))}") from None
    try:
        names = list(grid.parsed_regimes)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if grid.reference_regime not in names:
        raise UserError(f"{where}: reference: unknown regime '{grid.reference}'{nearest(str(grid.reference), names)}")
    tasks = [entry_name(entry) for entry in grid.tasks]
    for task in grid.by_task:
        if task not in tasks:
            raise UserError(f"{where}: by_task.{task}: no such task in `tasks`{nearest(task, tasks)}")
    models = [entry_name(entry) for entry in grid.models]
    for axis, entries in (("tasks", tasks), ("models", models), ("train_size", grid.train_size)):
        twice = [entry for entry in entries if entries.count(entry) > 1]
        if twice:
            raise UserError(f"{where}: {axis}: '{twice[0]}' is listed twice")
    published_numbers(grid, where)
    return grid


def _refuse_twice(node: yaml.Node | None) -> None:
    """Refuses a key that stands twice in one mapping: YAML would keep the last one without a word.

    Raises:
        yaml.YAMLError: with the key and its line.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(item)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.YAMLError(f"key '{key.value}' stands twice (again in line {key.start_mark.line + 1})")
            seen.add(str(key.value))
            _refuse_twice(value)


def _override(raw: dict[Any, Any], text: str) -> None:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UserError(f"--set {text!r}: write key=value, for example training.epochs=1")
    *parents, last = key.split(".")
    target = raw
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise UserError(f"--set {text!r}: '{parent}' is not a mapping in this grid")
    try:
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise UserError(f"--set {text!r}: the value is not readable YAML") from None


def _first(error: ValidationError, parents: tuple[str, ...] = ()) -> str:
    """The most telling error as one line: key, what is wrong, the nearest valid name, and the value."""
    errors = error.errors()
    unknown = [e for e in errors if e["type"] == "extra_forbidden"]
    first = (unknown or errors)[0]
    where = ".".join(str(part) for part in first["loc"]) or ("grid" if not parents else "together")
    message = first["msg"].removeprefix("Value error, ")
    if unknown:
        return f"{where}: unknown key{nearest(str(first['loc'][-1]), _allowed((*parents, *first['loc'][:-1])))}"
    value = "" if first["type"] == "missing" else f", is {str(first['input'])[:80]!r}"
    return f"{where}: {message}{value}"


def _allowed(path: tuple[int | str, ...]) -> list[str]:
    """Valid keys at a place of the grid."""
    parts: dict[str, type[BaseModel]] = {
        "": Grid,
        "training": Training,
        "replicates": Replicates,
        "replicates.training": TrainingReplicates,
        "replicates.inference": InferenceReplicates,
        "decoding": Decoding,
        "decoding.also": SettingAxes,
    }
    place = ".".join(part for part in path if isinstance(part, str))
    return sorted(parts.get(place, Training).model_fields)
