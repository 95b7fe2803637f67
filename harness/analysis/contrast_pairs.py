"""Two arms of a block, matched: the same training replicates, prompts and decode levels on both sides."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.blocks import Block
from harness.analysis.factorial import Levels

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """One regime at one setting of a block.

    Attributes:
        values: [replicates, prompts, decode levels].
        roles, cells, environments: of every replicate; see Block.
    """

    values: Floats
    roles: tuple[Levels | None, ...]
    cells: tuple[str, ...]
    environments: tuple[str, ...]

    @property
    def there(self) -> list[int]:
        """Places of the replicates that have a value, each training cell once."""
        known = np.flatnonzero(~np.isnan(self.values).all(axis=(1, 2))).tolist()
        first: dict[str, int] = {}
        return [place for place in known if first.setdefault(self.cells[place] or f"#{place}", place) == place]

    @property
    def undefined(self) -> int:
        """How many training cells ended but have no value at all: the metric is not defined for them."""
        empty = np.asarray(np.isnan(self.values).all(axis=(1, 2)))
        return len({uid for uid, lost in zip(self.cells, empty, strict=True) if uid and lost})


@dataclass(frozen=True)
class Pairs:
    """Matched runs.

    Attributes:
        mine, theirs: means over the decode levels that both have [pairs, prompts].
        levels: role levels of every pair.
        merged: whether both sides of every pair are one training cell.
        across: how many pairs were computed in different environments.
        alone: how many runs of each side have no partner.
        partial: fewest and most decode levels of a prompt that both sides have; equal where the design is balanced.
    """

    mine: Floats
    theirs: Floats
    levels: tuple[Levels, ...]
    merged: bool
    across: int
    alone: tuple[int, int]
    partial: tuple[int, int]


def arm(block: Block, regime: int, setting: int) -> Arm:
    """The arm at these places of the block's first two axes."""
    return Arm(block.values[regime, setting], block.roles[regime], block.cells[regime], block.environments[regime])


def matched(mine: Arm, theirs: Arm) -> Pairs:
    """The replicates that both have. Replicates that are one cell on both sides are one pair, not several that agree.

    Raises:
        ValueError: a replicate has other role levels on the other side.
    """
    both = ~np.isnan(mine.values) & ~np.isnan(theirs.values)
    pairs: dict[Any, int] = {}
    for place in np.flatnonzero(both.any(axis=(1, 2))).tolist():
        if mine.roles[place] != theirs.roles[place]:
            raise ValueError(f"cells {mine.cells[place]} and {theirs.cells[place]} are one replicate at other levels")
        pairs.setdefault((mine.cells[place], theirs.cells[place]) if mine.cells[place] else place, place)
    places = list(pairs.values())
    counts = both[places].sum(axis=2)
    some = counts[counts > 0]
    return Pairs(
        _over_levels(mine.values[places], both[places]),
        _over_levels(theirs.values[places], both[places]),
        tuple(levels for place in places if (levels := mine.roles[place]) is not None),
        all(mine.cells[place] == theirs.cells[place] != "" for place in places),
        sum(mine.environments[place] != theirs.environments[place] for place in places),
        (_without_partner(mine, theirs), _without_partner(theirs, mine)),
        (int(some.min()), int(some.max())) if some.size else (0, 0),
    )


def _without_partner(mine: Arm, theirs: Arm) -> int:
    paired = {mine.cells[place] for place in np.flatnonzero(~np.isnan(theirs.values).all(axis=(1, 2)))}
    return sum(mine.cells[place] not in paired for place in mine.there)


def _over_levels(values: Floats, chosen: npt.NDArray[np.bool_]) -> Floats:
    """Means over the chosen decode levels [runs, prompts]; NaN where there is none."""
    if chosen.all():
        return np.asarray(values.mean(axis=2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(np.where(chosen, values, np.nan), axis=2))


def shared_prompts(mine: Arm, theirs: Arm) -> npt.NDArray[np.bool_]:
    """The prompts that every run of both arms has a value of [prompts]."""
    there = [~np.isnan(one.values[one.there]).all(axis=2) for one in (mine, theirs)]
    return np.asarray(np.concatenate(there).all(axis=0))


def run_means(mine: Arm, prompts: npt.NDArray[np.bool_] | None = None) -> Floats:
    """One value per training cell: the mean over its prompts (or these) of the mean over decode levels [runs]."""
    by_prompt = _over_levels(mine.values[mine.there], ~np.isnan(mine.values[mine.there]))
    by_prompt = by_prompt if prompts is None else by_prompt[:, prompts]
    return np.asarray(np.nanmean(by_prompt, axis=1)) if len(by_prompt) else np.empty(0)
