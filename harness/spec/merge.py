"""Several grids as one: their cells together, where they are comparable; otherwise refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, TypeVar

from harness.data.prompts import digest
from harness.errors import UserError
from harness.identity import Identity, difference
from harness.spec.cells import Cell, GenerationCell, Problem, TrainingCell, settings_identity
from harness.spec.expand import Expansion, Skipped
from harness.spec.grid import Decoding, Grid, entry_name

T = TypeVar("T")


def merged(expansions: Sequence[Expansion]) -> Expansion:
    """The cells of several grids under the first one's reference regime; a single grid is returned as it is.

    Grids may differ in tasks, models, regimes, decoding settings and, in a joint design, in the number of training
    replicates. A task and model that two grids share must be the same experiment in everything that their regimes do
    not decide, and a regime that two grids share must be the same regime.

    Raises:
        UserError: two grids are not comparable; names both, the key, and both values.
    """
    first = expansions[0]
    if len(expansions) == 1:
        return first
    for one, two in combinations(expansions, 2):
        _check(one, two)
    found = Expansion(_merged_grid([expansion.grid for expansion in expansions]), judges=first.judges)
    for name in ("bases", "selection", "training", "generation"):
        cells = [cell for expansion in expansions for cell in getattr(expansion, name)]
        setattr(found, name, _once(cells, lambda cell: (cell.uid, _name(cell))))
    found.problems = _once((p for e in expansions for p in e.problems), _problem_name)
    found.skipped = _once((s for e in expansions for s in _skipped(e)), lambda s: (s.task, s.model, s.regime))
    found.pending = _once((p for e in expansions for p in e.pending), lambda p: (*_problem_name(p[0]), p[1].name))
    for expansion in expansions:
        found.prompts |= expansion.prompts
    found.notes = list(dict.fromkeys([*_notes(expansions), *(note for e in expansions for note in e.notes)]))
    return found


def _merged_grid(grids: Sequence[Grid]) -> Grid:
    """The first grid, with name, tasks and regimes of all; published numbers stay with their own grids."""
    first = grids[0]
    values = {name: getattr(first, name) for name in Grid.model_fields}
    tasks = {entry_name(entry): (entry, grid) for grid in reversed(grids) for entry in grid.tasks}
    regimes = {name: raw for grid in reversed(grids) for name, raw in grid.regimes.items()}
    wishes: dict[str, list[float]] = {}
    for metric, wish in (pair for grid in grids for pair in grid.resolve.items()):
        wishes.setdefault(metric, []).append(wish)
    order = dict.fromkeys(name for grid in grids for name in grid.regimes)
    changes = {
        "name": "+".join(grid.name for grid in grids),
        "description": " ".join(dict.fromkeys(grid.description for grid in grids if grid.description)),
        "tasks": [entry for entry, _ in tasks.values()],
        "by_task": {name: grid.training_for(name).model_dump() for name, (_, grid) in tasks.items()},
        "regimes": {name: regimes[name] for name in order},
        "reference": first.reference_regime,
        "published": [],
        "resolve": {metric: min(wishes[metric]) for metric in wishes},
    }
    return Grid.model_construct(**{**values, **changes})


def _once(things: Iterable[T], key: Callable[[T], Any]) -> list[T]:
    """The first thing of each key."""
    found: dict[Any, T] = {}
    for thing in things:
        found.setdefault(key(thing), thing)
    return list(found.values())


def _problem_name(problem: Problem) -> tuple[str, str]:
    return problem.label, problem.model.name


def _name(cell: Cell) -> tuple[Any, ...]:
    """What names a cell in tables: two cells of one report must not have the same."""
    if isinstance(cell, GenerationCell):
        return *_name(cell.parent), *cell.setting.factors.values(), cell.level
    if isinstance(cell, TrainingCell):
        rate = cell.learning_rate if cell.selection else None
        named = cell.problem, cell.regime.name, cell.replicate, cell.repeat, cell.selection, rate
        return *_problem_name(named[0]), *named[1:]
    return cell.kind, *_problem_name(cell.problem)


def _skipped(expansion: Expansion) -> Iterable[Skipped]:
    """A combination that is skipped in all regimes means those of its own grid."""
    for skip in expansion.skipped:
        for regime in [skip.regime] if skip.regime else expansion.grid.regimes:
            yield replace(skip, regime=regime)


def _notes(expansions: Sequence[Expansion]) -> list[str]:
    """What was chosen where the grids differ in what is no hindrance."""
    names = [expansion.grid.name for expansion in expansions]
    grids, lines = [expansion.grid for expansion in expansions], [f"merged from the grids {', '.join(names)}"]
    references = {grid.name: grid.reference_regime for grid in grids}
    if len(set(references.values())) > 1:
        listed = ", ".join(f"{regime} in {name}" for name, regime in references.items())
        lines.append(f"the grids have different reference regimes ({listed}); {grids[0].reference_regime} is used")
    if len({grid.seed for grid in grids}) > 1:
        lines.append(f"the grids have different study seeds; the analysis draws from that of {grids[0].name}")
    return lines


def _check(one: Expansion, two: Expansion) -> None:
    """Refuses two grids that are not comparable.

    Raises:
        UserError: see `merged`.
    """
    names = (one.grid.name, two.grid.name)
    if names[0] == names[1]:
        raise UserError(f"report: two grids have the name '{names[0]}'; give each its own")
    _check_designs(names, one.grid, two.grid)
    for name, regime in one.grid.parsed_regimes.items():
        other = two.grid.parsed_regimes.get(name)
        if other is not None:
            mine, theirs = ({**r.describe(), **r.settings} for r in (regime, other))
            _same(names, f"regimes.{name}.", mine, theirs)
    theirs_by_name = {_problem_name(problem): problem for problem in two.problems}
    for problem in one.problems:
        shared = theirs_by_name.get(_problem_name(problem))
        if shared is not None:
            where = f"{' x '.join(_problem_name(problem))}: "
            _same(names, where, _experiment(one, problem), _experiment(two, shared), _overridden(one, two))
            if problem.kind != "classification" and one.grid.decoding and two.grid.decoding:
                _same(names, where, _texts(one, problem, one.grid.decoding), _texts(two, shared, two.grid.decoding))
    _check_names(names, one, two)


def _check_designs(names: tuple[str, str], one: Grid, two: Grid) -> None:
    """Refuses other designs; joint ones may differ in number, as replicate r is at level r in any of them."""
    mine, theirs = (grid.replicates.training.model_dump(mode="json") for grid in (one, two))
    where = "replicates.training."
    _same(names, where, {"design": mine["design"]}, {"design": theirs["design"]})
    if mine["design"] != "joint":
        _same(names, where, mine, theirs)


def _experiment(expansion: Expansion, problem: Problem) -> Identity:
    """All that is common to the arms of a task and model, and must be so across grids."""
    grid = expansion.grid
    training = grid.training_for(problem.task)
    settings = settings_identity(training, "precision", "max_length") | {"steps_to_loss": training.steps_to_loss}
    if settings["steps"] is None:
        settings["epochs"] = training.length
    found = {**problem.shared_identity, "training": settings}
    if len(training.learning_rates) > 1:
        found["replicates.selection"] = grid.replicates.selection
    return found


def _texts(expansion: Expansion, problem: Problem, decoding: Decoding) -> Identity:
    """What is common to all texts of a problem."""
    asked = expansion.asked(problem)
    return {
        "decoding.max_new_tokens": decoding.max_new_tokens,
        "decoding.prompts": len(asked),
        "digest of the prompts": digest(asked),
        **expansion.judges.identity,
        # Metrics across inference replicates depend on their number.
        "replicates.inference.count": expansion.grid.replicates.inference.count,
    }


def _overridden(*expansions: Expansion) -> set[str]:
    """Training settings that every regime of all grids overrides: what a grid itself says of them is not used."""
    each = [set(regime.settings) for expansion in expansions for regime in expansion.grid.parsed_regimes.values()]
    return {f"training.{key}" for key in set.intersection(*each)}


def _check_names(names: tuple[str, str], one: Expansion, two: Expansion) -> None:
    """Refuses two different cells of one name: tables could not tell them apart."""
    mine = {_name(cell): cell for cell in one.cells}
    for cell in two.cells:
        other = mine.get(_name(cell))
        if other is not None and other.uid != cell.uid:
            where = " / ".join(map(str, _name(cell)))
            _same(names, f"cell {where}: ", other.identity, cell.identity)


def _same(names: tuple[str, str], where: str, one: Identity, two: Identity, free: Iterable[str] = ()) -> None:
    """Refuses two descriptions that differ.

    Args:
        names: of the grids.
        where: stands before the key.
        one, two: what must be equal.
        free: keys that may differ.

    Raises:
        UserError: with the first key that differs.
    """
    for key, (first, second) in difference(two, one).items():
        if key not in free:
            values = [json.dumps(value) if value is not None else "not given" for value in (first, second)]
            raise UserError(
                f"grids {names[0]} and {names[1]} cannot be merged: {where}{key} is {values[0]} in {names[0]}"
                f" and {values[1]} in {names[1]}"
            )
