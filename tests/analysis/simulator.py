"""Studies of every design whose variance components are known: what the statistics of the report are proved with.

A value is the grand mean plus one independent draw for every combination of levels of every factor set that has a
variance: `{"training": 1.0, "training x prompt": 0.5, "decode x prompt": 2.0}`. Factors are `regime`, `setting`,
`training` (joint: one level a run) or the names of training roles (crossed), `prompt` and `decode`. Decode levels are
nested in prompts where every component that names `decode` also names `prompt`. A component that does not name
`regime` is shared by all regimes (they are paired); one that names it is drawn anew for each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.blocks import NO_SETTING, Block, Setting
from harness.analysis.factorial import ROLES, Levels
from harness.analysis.study import Study

Floats = NDArray[np.float64]
OUTER = ("regime", "setting")
INNER = ("prompt", "decode")


def drawn(
    shape: Mapping[str, int],
    variances: Mapping[str, float],
    dice: np.random.Generator,
    *,
    studies: int = 1,
    tails: float = math.inf,
) -> Floats:
    """Values of so many independent studies.

    Args:
        shape: number of levels by factor, in the order of the axes.
        variances: by factor set, its names joined by ` x `.
        dice: the randomness.
        studies: how many.
        tails: degrees of freedom of Student's t that all draws follow, scaled to their variance; above 4. Infinite:
            normal.

    Returns: shape (studies, *shape.values()).
    """
    values = np.zeros((studies, *shape.values()))
    for name, variance in variances.items():
        factors = name.split(" x ")
        if not set(factors) <= set(shape):
            raise ValueError(f"component '{name}' has a factor that the shape lacks")
        size = (studies, *(count if factor in factors else 1 for factor, count in shape.items()))
        if math.isinf(tails):
            effect = dice.standard_normal(size)
        else:
            effect = dice.standard_t(tails, size) * math.sqrt((tails - 2.0) / tails)
        values += math.sqrt(variance) * effect
    return values


def block_of(values: Floats, roles: Sequence[str] = (), **fields: Any) -> Block:
    """A block of one study's values.

    Args:
        values: [regimes, settings, training, prompts, levels], or in place of the training axis one axis per role.
        roles: names of the crossed roles, in the order of their axes; none: a joint design.
        fields: fields of `Block` that are to be others than these defaults.
    """
    middle = values.shape[2 : 2 + max(1, len(roles))]
    runs = math.prod(middle)
    array = values.reshape(*values.shape[:2], runs, *values.shape[-2:])
    names = ("none", *(f"regime-{number}" for number in range(1, array.shape[0])))
    settings: tuple[Setting, ...] = tuple((str(5 * 2**k), 1.0, 1.0, 0.0) for k in range(array.shape[1]))
    levels = tuple(_levels(roles, run) for run in itertools.product(*map(range, middle)))
    given: dict[str, Any] = {
        "task": "task",
        "model": "model",
        "split": "",
        "metric": "metric",
        "unit": "text",
        "regimes": names,
        "settings": settings,
        "replicates": tuple(range(runs)),
        "roles": (levels,) * len(names),
        "cells": tuple(tuple(f"{name}-{run}" for run in range(runs)) for name in names),
        "environments": (("machine",) * runs,) * len(names),
        "design": "crossed" if roles else "joint",
        "values": array,
    }
    if fields.get("unit") in ("split", "example"):
        given |= {"split": "test", "settings": (NO_SETTING,)}
    return Block(**(given | fields))


def _levels(roles: Sequence[str], run: Sequence[int]) -> Levels:
    if not roles:
        return (run[0],) * len(ROLES)
    named = dict(zip(roles, run, strict=True))
    return tuple(named.get(role, 0) for role in ROLES)


def study_of_blocks(blocks: Sequence[Block], tables: Mapping[str, pd.DataFrame] | None = None, seed: int = 0) -> Study:
    """A study of these blocks; the reference is the first regime of the first block."""
    regimes = tuple(dict.fromkeys(name for block in blocks for name in block.regimes))
    return Study(
        tables or {},
        regimes,
        regimes[0],
        seed,
        runs=tuple(block for block in blocks if block.unit == "split"),
        examples=tuple(block for block in blocks if block.unit == "example"),
        texts=tuple(block for block in blocks if block.unit not in ("split", "example")),
    )


def shape_of(
    *,
    training: int | Mapping[str, int],
    prompts: int = 1,
    decode: int = 1,
    regimes: int = 1,
    settings: int = 1,
) -> dict[str, int]:
    """The shape for `drawn`: `training` is the number of joint runs, or the levels of each crossed role by its name."""
    middle = {"training": training} if isinstance(training, int) else dict(training)
    return {"regime": regimes, "setting": settings, **middle, "prompt": prompts, "decode": decode}
