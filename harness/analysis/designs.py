"""What a replicate design allows to be said about the mean of an arm's runs.

joint: the runs are independent, so Student's t over them.
crossed: runs share levels, so the interval comes from the roles' mean squares.
isolated: all runs share level 0 of every other role; how far the mean lies from that of other levels is not in the
data, so the mean has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import TRAINING_ARM
from harness.analysis.factorial import ROLES, Levels, crossed_interval, factorial, varied
from harness.analysis.intervals import Interval, t_interval
from harness.analysis.order import require

DESIGNS = ("joint", "isolated", "crossed")


def design_of(training: pd.DataFrame) -> str:
    """The design of a table `training`; without column `design` it must be joint: every role at one level.

    Raises:
        ValueError: the design is unknown, not the same in all rows, or contradicted by the levels.
    """
    require(training, "training", ROLES)
    names = sorted(set(training["design"])) if "design" in training.columns else []
    if len(names) > 1 or not set(names) <= set(DESIGNS):
        raise ValueError(f"table 'training' has design {', '.join(map(str, names))}; it is one of {', '.join(DESIGNS)}")
    design = str(names[0]) if names else "joint"
    if design == "joint" and not (training[list(ROLES)].nunique(axis=1) <= 1).all():
        raise ValueError("table 'training' is of a joint design, but has a run whose roles are at different levels")
    return design


def levels_of(rows: pd.DataFrame) -> list[Levels]:
    """The role levels of every row, in the order of `ROLES`."""
    return [tuple(int(level) for level in run) for run in rows[list(ROLES)].itertuples(index=False, name=None)]


def replicate_levels(training: pd.DataFrame | None) -> tuple[str, dict[tuple[Any, ...], Levels]]:
    """The design, and the role levels by arm and training replicate."""
    if training is None or training.empty:
        return "joint", {}
    runs = training[training["repeat"] == 0].drop_duplicates([*TRAINING_ARM, "training_replicate"])
    keys = runs[[*TRAINING_ARM, "training_replicate"]].itertuples(index=False, name=None)
    return design_of(training), dict(zip(keys, levels_of(runs), strict=True))


def runs_of(replicates: pd.DataFrame, levels: dict[tuple[Any, ...], Levels]) -> list[Levels]:
    """The role levels of every training replicate of table rows with arm and training replicate.

    Raises:
        ValueError: the table `training` has no such replicate.
    """
    keys = list(replicates[[*TRAINING_ARM, "training_replicate"]].itertuples(index=False, name=None))
    unknown = [key for key in keys if key not in levels]
    if unknown:
        raise ValueError(
            f"{' / '.join(map(str, unknown[0]))}: texts of a replicate that table 'training' does not have"
        )
    return [levels[key] for key in keys]


def estimate(design: str, levels: Sequence[Levels], values: Iterable[float]) -> tuple[Interval, str]:
    """Mean and interval of runs under their design, and why there is no interval where the design allows none.

    Args:
        design: joint, isolated or crossed.
        levels: role levels of every run, in the order of `ROLES`.
        values: of every run, each run once.

    Raises:
        ValueError: see `t_interval` and `factorial`.
    """
    numbers = list(values)
    plain = t_interval(numbers)
    if design == "joint" or plain.n < 2:
        return plain, ""
    if design == "isolated":
        return Interval(plain.n, plain.mean, math.nan, math.nan, math.nan), ""
    table = factorial(levels, numbers)
    if table is None:
        whole = math.prod(map(len, varied(levels).values()))
        lost = f"crossed design incomplete ({plain.n} of {whole} runs): no interval"
        return Interval(plain.n, plain.mean, plain.sd, math.nan, math.nan), lost
    return crossed_interval(table), ""


def described(design: str, levels: Sequence[Levels]) -> str:
    """The design with the factors it really has, for example `crossed init 4 x order 4`."""
    if design != "crossed":
        return design
    return " ".join(["crossed", " x ".join(f"{role} {len(axis)}" for role, axis in varied(levels).items())]).strip()
