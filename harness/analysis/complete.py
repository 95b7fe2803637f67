"""The part of a block that is complete: every regime, setting, replicate and prompt with a value, and what was lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.blocks import SPLIT, Block, Setting
from harness.analysis.designs import described
from harness.analysis.factorial import Levels, varied

Floats = NDArray[np.float64]
UNDEFINED_RUNS = "not defined for every run (for example a loss never reached): an average of the others would mislead"


@dataclass(frozen=True)
class Complete:
    """A block without NaN.

    Attributes:
        values: [regimes, settings, replicates, prompts, levels].
        regimes, settings: names along the first two axes.
        replicates: places of the runs in the block.
        note: what was left out of the block, and why; empty where nothing was.
    """

    values: Floats
    regimes: tuple[str, ...]
    settings: tuple[Setting, ...]
    replicates: tuple[int, ...]
    note: str


def complete(block: Block) -> Complete | str:
    """The complete part of a block, or why there is none.

    The runs must be independent draws: of a crossed design the runs that share no level stay (its diagonal), an
    isolated design has none. Then the regimes, or the replicates, that lack a run are left out, whichever loses fewer
    values; settings that a regime lacks; and prompts that lack a value, but never more than half of them.
    """
    if block.design == "isolated":
        return "isolated design: all runs share level 0 of the other roles"
    if block.unit == SPLIT and _undefined(block):
        return UNDEFINED_RUNS
    runs = independent(block)
    notes = []
    if len(runs) < len(block.replicates):
        every = [levels for row in block.roles for levels in row if levels is not None]
        notes.append(f"{described(block.design, every)}: the {len(runs)} runs that share no level of a role")
    there = np.asarray(~np.isnan(block.values[:, :, runs]).all(axis=(1, 3, 4)))
    regimes, kept = _whole_runs(there)
    if len(regimes) < len(block.regimes):
        lost = [name for place, name in enumerate(block.regimes) if place not in regimes]
        notes.append(f"without regime {', '.join(lost)}, which lacks a run")
    if len(kept) < len(runs):
        notes.append(f"without {len(runs) - len(kept)} of {len(runs)} replicates, which a regime lacks")
    replicates = [runs[place] for place in kept]
    values = block.values[np.ix_(regimes, range(len(block.settings)), replicates)]
    return _without_gaps(block, values, regimes, replicates, notes)


def _undefined(block: Block) -> bool:
    """Whether a run that is there has no value: what is left out then is no accident."""
    there = np.array([[bool(uid) for uid in row] for row in block.cells])
    return bool((np.isnan(block.values[:, 0, :, 0, 0]) & there).any())


def independent(block: Block) -> list[int]:
    """Places of runs of which no two share a level of a role that varies: in a joint design all of them."""
    columns = [next((row[place] for row in block.roles if row[place]), None) for place in range(len(block.replicates))]
    axes = varied([levels for levels in columns if levels is not None])
    roles = [place for place, role in enumerate(("init", "sample", "order", "mask")) if role in axes]
    chosen: list[int] = []
    used: list[Levels] = []
    for place, levels in enumerate(columns):
        if levels is not None and all(levels[role] != other[role] for other in used for role in roles):
            chosen.append(place)
            used.append(levels)
    return chosen


def _whole_runs(there: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """The regimes and replicates that stay, of [regimes, replicates] that are there, so that every pair is there."""
    everything = list(range(there.shape[0])), list(range(there.shape[1]))
    by_regime = [int(place) for place in np.flatnonzero(there.all(axis=1))]
    by_replicate = [int(place) for place in np.flatnonzero(there.all(axis=0))]
    if len(by_regime) * there.shape[1] >= len(by_replicate) * there.shape[0]:
        return by_regime, everything[1]
    return everything[0], by_replicate


def _without_gaps(
    block: Block, values: Floats, regimes: list[int], replicates: list[int], notes: list[str]
) -> Complete | str:
    settings = [int(place) for place in np.flatnonzero(~np.isnan(values).all(axis=(2, 3, 4)).any(axis=0))]
    if not regimes or not replicates or not settings:
        return "; ".join([*notes, "no regime, replicate and setting is complete"])
    if len(settings) < len(block.settings):
        notes.append(f"without {len(block.settings) - len(settings)} of {len(block.settings)} settings")
    values = values[:, settings]
    gap = np.asarray(np.isnan(values).any(axis=(0, 1, 2, 4)))
    if gap.any():
        if gap.sum() > len(gap) / 2:
            return "; ".join([*notes, f"{gap.sum()} of {len(gap)} prompts lack a value: no estimate"])
        notes.append(f"without {gap.sum()} of {len(gap)} prompts, which lack a value")
    names = tuple(block.regimes[place] for place in regimes)
    chosen = tuple(block.settings[place] for place in settings)
    return Complete(values[:, :, :, ~gap], names, chosen, tuple(replicates), "; ".join(notes))
