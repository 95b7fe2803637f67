"""Published numbers that a grid names: what a source reports of one of the grid's arms, or of their order.

They are no part of any cell's identity: naming a number changes no cell.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from harness.errors import UserError, nearest
from harness.spec.cells import task_label
from harness.spec.grid import Count, Grid, Name, NonNegative, Strict, entry_name

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True)]


class Published(Strict):
    """What every entry says: where the number stands, what it measures, and how the source measured it."""

    task: str = Field(default="", description="as tables name it; may be left out where the grid has one")
    model: str = Field(default="", description="may be left out where the grid has one")
    split: Text
    metric: Text
    source: Text = Field(description="authors, year, arXiv id or name of the repository")
    estimator: Text = Field(description="how the source measured it")
    same_estimator: bool = Field(strict=True, description="whether the metric named here is measured in the same way")
    note: str = ""


class PublishedValue(Published):
    """A published value of one arm, in the metric's own unit."""

    regime: Name
    value: Number
    rounding: NonNegative = Field(default=0.0, description="half a unit of its last printed digit, for example 0.005")
    spread: NonNegative | None = Field(default=None, description="standard deviation over the published runs")
    n: Count = Field(default=1, description="published runs")
    statistic: Literal["mean", "best"] = Field(default="mean", description="mean, or best of the n published runs")

    @model_validator(mode="after")
    def _spread(self) -> PublishedValue:
        if self.spread is not None and self.n < 2:
            raise ValueError("a spread over runs needs n, their number, from 2")
        return self


class PublishedOrdering(Published):
    """A published order of arms: the metric increases from the first arm to the last."""

    ordering: Annotated[list[Name], Field(min_length=2)]

    @model_validator(mode="after")
    def _once(self) -> PublishedOrdering:
        if len(set(self.ordering)) < len(self.ordering):
            raise ValueError("ordering names an arm twice")
        return self


def published_numbers(grid: Grid, where: str = "grid") -> tuple[PublishedValue | PublishedOrdering, ...]:
    """The grid's published numbers, checked against its regimes, tasks and models, in the order of the file.

    Task and model are filled in where the grid has only one; a model is named as tables name it.

    Raises:
        UserError: an entry is neither form, has an unknown key, or names what the grid does not have.
    """
    return tuple(_entry(raw, grid, f"{where}: published.{place}") for place, raw in enumerate(grid.published))


def _entry(raw: Any, grid: Grid, where: str) -> PublishedValue | PublishedOrdering:
    if not isinstance(raw, dict) or ("ordering" in raw) == ("value" in raw):
        raise UserError(f"{where}: must be a mapping with either `regime` and `value`, or `ordering`")
    form = PublishedOrdering if "ordering" in raw else PublishedValue
    try:
        entry: PublishedValue | PublishedOrdering = form.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{where}.{_first(error, form)}") from None
    for regime in [entry.regime] if isinstance(entry, PublishedValue) else entry.ordering:
        if regime not in grid.regimes:
            raise UserError(f"{where}: unknown regime '{regime}'{nearest(regime, list(grid.regimes))}")
    tasks = {label: label for label in _labels(grid)}
    models: dict[str, str] = {}
    for name in map(entry_name, grid.models):
        label = _model_label(name)
        models |= {name: label, Path(name).name: label, label: label}
    chosen = {"task": _one(entry.task, tasks, f"{where}.task"), "model": _one(entry.model, models, f"{where}.model")}
    return entry.model_copy(update=chosen)


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
        return f"{key}: unknown key{nearest(key, sorted(form.model_fields))}"
    value = "" if first["type"] == "missing" or not first["loc"] else f", is {str(first['input'])[:80]!r}"
    return f"{key}: {first['msg'].removeprefix('Value error, ')}{value}"
