"""Published numbers that a grid names: what a source reports of one of the grid's arms, or of their order.

They are no part of any cell's identity: naming a number changes no cell.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError, nearest
from harness.request import HUMAN, Setting
from harness.spec.cells import task_label
from harness.spec.grid import Decoding, Grid, entry_name
from harness.spec.published_forms import (
    ENDLESS,
    NamedSetting,
    OnTexts,
    Published,
    PublishedNumber,
    PublishedOrdering,
    PublishedTextOrdering,
    PublishedTextValue,
    PublishedValue,
)

_FORMS: dict[tuple[bool, bool], type[PublishedNumber]] = {
    # (of texts, an order): the form
    (False, False): PublishedValue,
    (False, True): PublishedOrdering,
    (True, False): PublishedTextValue,
    (True, True): PublishedTextOrdering,
}


def published_numbers(grid: Grid, where: str = "grid") -> tuple[PublishedNumber, ...]:
    """The grid's published numbers, checked against its regimes, settings, tasks and models, as in the file.

    Task and model are filled in where the grid has only one; a model is named as tables name it.

    Raises:
        UserError: an entry has no known form, has an unknown key, or names what the grid does not have.
    """
    return tuple(_entry(raw, grid, f"{where}: published.{place}") for place, raw in enumerate(grid.published))


def _entry(raw: Any, grid: Grid, where: str) -> PublishedNumber:
    if not isinstance(raw, dict) or ("ordering" in raw) == ("value" in raw):
        raise UserError(f"{where}: must be a mapping with either `regime` and `value`, or `ordering`")
    if "split" in raw and "unit" in raw:
        raise UserError(f"{where}: has `split` (a training metric) and `unit` (a metric of texts): give one of them")
    form = _FORMS["unit" in raw, "ordering" in raw]
    try:
        entry = form.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{where}.{_first(error, form)}") from None
    for regime in entry.regimes:
        if regime not in grid.regimes:
            raise UserError(f"{where}: unknown regime '{regime}'{nearest(regime, list(grid.regimes))}")
    if isinstance(entry, OnTexts):
        _check_settings(entry, grid.decoding, where)
    tasks = {label: label for label in _labels(grid)}
    models: dict[str, str] = {}
    for name in map(entry_name, grid.models):
        label = _model_label(name)
        models |= {name: label, Path(name).name: label, label: label}
    chosen = {"task": _one(entry.task, tasks, f"{where}.task"), "model": _one(entry.model, models, f"{where}.model")}
    return entry.model_copy(update=chosen)


def _check_settings(entry: OnTexts, decoding: Decoding | None, where: str) -> None:
    """Refuses a setting that the grid does not have.

    Raises:
        UserError: naming it, and those that there are.
    """
    if decoding is None:
        raise UserError(f"{where}: is of generated texts, but the grid has no `decoding`")
    there = {setting.canonical(ENDLESS) for setting in decoding.settings}
    there |= {HUMAN} if decoding.human else set()
    for setting in entry.settings:
        if setting not in there:
            raise UserError(f"{where}: the grid has no setting {_named(setting)} (allowed: {_all_named(there)})")


def _all_named(settings: set[Setting]) -> str:
    by_k = sorted(settings, key=lambda s: (s.human, s.top_k is None, s.top_k or 0, s.temperature, -s.top_p, s.min_p))
    return "; ".join(map(_named, by_k))


def _named(setting: Setting) -> str:
    """For example `top_k 40, temperature 0.7`; what is off is left out."""
    off = Setting(None).factors
    parts = [f"{name} {value}" for name, value in setting.factors.items() if name == "top_k" or value != off[name]]
    return ", ".join(parts)


def _labels(grid: Grid) -> list[str]:
    """The tasks as tables name them: each with each size of its training set."""
    return [task_label(entry_name(entry), size) for entry in grid.tasks for size in grid.train_sizes]


def _model_label(name: str) -> str:
    """A model as tables name it: a folder by the last part of its path, everything else as it is."""
    folder = Path(os.path.expandvars(name)).expanduser().resolve()
    return folder.name if folder.is_dir() else name


def _one(given: str, allowed: dict[str, str], where: str) -> str:
    if given in allowed:
        return allowed[given]
    if given:
        raise UserError(f"{where}: the grid has no '{given}'{nearest(given, list(allowed))}")
    if len(set(allowed.values())) > 1:
        raise UserError(f"{where}: must be given, the grid has several (allowed: {', '.join(allowed)})")
    return next(iter(allowed.values()))


def _first(error: ValidationError, form: type[Published]) -> str:
    """One error as a line: the key, what is wrong with it, and its value."""
    errors = error.errors()
    unknown = [e for e in errors if e["type"] == "extra_forbidden"]
    first = (unknown or errors)[0]
    key = ".".join(str(part) for part in first["loc"]) or "entry"
    if unknown:
        nested = NamedSetting if len(first["loc"]) > 1 else form
        return f"{key}: unknown key{nearest(str(first['loc'][-1]), sorted(nested.model_fields))}"
    value = "" if first["type"] == "missing" or not first["loc"] else f", is {str(first['input'])[:80]!r}"
    return f"{key}: {first['msg'].removeprefix('Value error, ')}{value}"
