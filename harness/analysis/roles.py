"""The table `roles`: how much of a metric's variance each training role brings.

crossed: per role the component of its main effect and the total of all components that contain it, beside every
interaction. isolated: per role the variance over its own levels, given all other streams at level 0; it holds the
role's interactions at that one level, is no component, and has no share. joint: the roles are not told apart: no row.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import TRAINING_ARM, cells_of, fates
from harness.analysis.components import Component, chi_square_interval, components
from harness.analysis.designs import described, design_of, estimate, levels_of
from harness.analysis.factorial import ROLES, Factorial, Levels, all_equal, factorial, varied
from harness.analysis.generalization import finished
from harness.analysis.order import ordered
from harness.analysis.unbalanced import reml

COLUMNS = [*TRAINING_ARM, "split", "metric", "design", "role", "quantity", "n", "variance", "low", "high", "share"]
COLUMNS += ["share_low", "share_high", "note"]
MAIN, INTERACTION, TOTAL, GIVEN = "main effect", "interaction", "total", "given the others at level 0"
MERGED = "zero by construction: its levels are one cell"
EQUAL = "all runs are equal: no interval"
RESIDUAL = "with the residual: one run per combination"
BY_REML = "REML"
ALONE = "the only role that varies: its share is 1 by construction"
_ORDER = [*TRAINING_ARM, "split", "metric"]
Row = dict[str, Any]


def roles(training: pd.DataFrame, cells: pd.DataFrame, *, regimes: Sequence[str]) -> pd.DataFrame:
    """One row per task, model, regime, split, metric, role (or set of roles) and quantity.

    `variance` in the metric's squared unit and `share` of the sum of all components, each with a 95 % interval; `n` is
    the number of distinct runs (isolated: levels). Negative estimates are what the method of moments gave. A crossed
    arm that lacks a run has REML estimates without intervals, an arm without any run has no row.

    Args:
        training: the store's table `training`.
        cells: the store's table `cells`.
        regimes: the grid's regimes, in its order.

    Raises:
        ValueError: see `generalization` and `design_of`.
    """
    design = design_of(training)
    rows: list[Row] = []
    if design != "joint":
        lost = _lost(cells, regimes)
        values = finished(training, cells, regimes)
        for key, every in values.groupby(_ORDER, sort=False):
            runs = every[every["value"].notna()]
            undefined = every["uid"].nunique() - runs["uid"].nunique()
            named = {"design": design, **dict(zip(_ORDER, key, strict=True))}
            if undefined:  # what the others say is not what these roles do
                found = _without_numbers(every, undefined)
            else:
                found = _crossed(runs) if design == "crossed" else _isolated(runs)
            rows += [{**named, **row, "note": _notes(row["note"], lost.get(key[:3], 0))} for row in found]
    return ordered(pd.DataFrame(rows, columns=COLUMNS), _ORDER, regimes)


def _without_numbers(every: pd.DataFrame, undefined: int) -> Iterator[Row]:
    """Rows of a metric that some runs do not have, for example a loss that they never reached."""
    note = f"{undefined} runs have no value of this metric: no variance is told"
    for role in varied(levels_of(every)):
        yield _row(role, TOTAL, note=note) | {"n": every["uid"].nunique() - undefined}


def _lost(cells: pd.DataFrame, regimes: Sequence[str]) -> dict[tuple[Any, ...], int]:
    """How many runs of each arm gave no value: a level that is lost as a whole leaves no gap in the table."""
    counted = fates(cells_of(cells, "training", regimes), TRAINING_ARM)
    return {
        tuple(row[factor] for factor in TRAINING_ARM): int(row["failed"] + row["missing"])
        for row in counted.to_dict("records")
    }


def _notes(note: str, lost: int) -> str:
    return "; ".join([*filter(None, [note]), *([f"{lost} runs of this arm have no value"] if lost else [])])


def _crossed(runs: pd.DataFrame) -> Iterator[Row]:
    once = runs.drop_duplicates("uid")
    levels, values = levels_of(once), [float(value) for value in once["value"]]
    shown = {"n": len(once), "design": described("crossed", levels)}
    declared, table = list(varied(levels_of(runs))), factorial(levels, values)
    rows = list(_incomplete(levels, values) if table is None else _effects(table))
    merged = [role for role in declared if role not in varied(levels)]
    for row in [*rows, *_merged(merged)]:
        yield row | shown


def _incomplete(levels: Sequence[Levels], values: Sequence[float]) -> Iterator[Row]:
    """Restricted maximum likelihood where a run is missing; rows without numbers where that says nothing."""
    roles = list(varied(levels))
    _, lost = estimate("crossed", levels, values)
    found = reml(levels, values)
    if found is None:
        yield from (_row(role, quantity, note=lost) for role in roles for quantity in (MAIN, TOTAL))
        return
    whole = math.fsum(found.values())
    note = f"{lost}; {BY_REML}"
    for subset, variance in found.items():
        name, quantity = " x ".join(roles[axis] for axis in subset), MAIN if len(subset) == 1 else INTERACTION
        yield _row(name, quantity, Component(variance, share=variance / whole), note)
    for axis, role in enumerate(roles):
        variance = math.fsum(number for subset, number in found.items() if axis in subset)
        yield _row(role, TOTAL, Component(variance, share=variance / whole), note)


def _effects(table: Factorial) -> Iterator[Row]:
    """Main effects, interactions and totals of the roles that vary."""
    if not table.roles:
        return
    if all_equal(table):
        zero = Component(0.0)
        yield from (_row(role, quantity, zero, EQUAL) for quantity in (MAIN, TOTAL) for role in table.roles)
        return
    several, totals = components(table)
    for subset, component in several.items():
        name = " x ".join(table.roles[axis] for axis in subset)
        top = RESIDUAL if len(subset) == len(table.roles) else ""
        quantity = MAIN if len(subset) == 1 else INTERACTION
        yield _row(name, quantity, component, ALONE if len(table.roles) == 1 else top)
    for axis, component in totals.items():
        yield _row(table.roles[axis], TOTAL, component, ALONE if len(table.roles) == 1 else "")


def _merged(names: Sequence[str]) -> Iterator[Row]:
    """Roles whose levels give one and the same cell: nothing to estimate."""
    zero = Component(0.0, share=0.0)
    yield from (_row(role, quantity, zero, MERGED) for quantity in (MAIN, TOTAL) for role in names)


def _isolated(runs: pd.DataFrame) -> Iterator[Row]:
    for role in varied(levels_of(runs)):
        others = [other for other in ROLES if other != role]
        mine = runs[(runs[others] == 0).all(axis=1)]
        yield _given(role, mine)


def _given(role: str, runs: pd.DataFrame) -> Row:
    """The variance over the levels of one role; the chi-square interval needs two distinct runs."""
    values = [float(value) for value in runs.drop_duplicates("uid")["value"]]
    n = {"n": len(values)}
    if len(values) < 2:
        return _row(role, GIVEN, *((Component(0.0), MERGED) if len(runs) > 1 else ())) | n
    variance = statistics.variance(values)
    if math.sqrt(variance) <= 1e-12 * max(map(abs, values)):
        return _row(role, GIVEN, Component(0.0), EQUAL) | n
    return _row(role, GIVEN, Component(variance, *chi_square_interval(variance, len(values) - 1))) | n


def _row(role: str, quantity: str, component: Component | None = None, note: str = "") -> Row:
    numbers = component or Component(math.nan)
    return {
        "role": role,
        "quantity": quantity,
        "variance": numbers.variance,
        "low": numbers.low,
        "high": numbers.high,
        "share": numbers.share,
        "share_low": numbers.share_low,
        "share_high": numbers.share_high,
        "note": note,
    }
