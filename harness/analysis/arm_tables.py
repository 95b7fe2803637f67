"""From a block to one table per arm (regime and setting): distinct runs, and no cell without a value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.blocks import EXAMPLE, Block, Floats
from harness.analysis.crossed import Layout
from harness.analysis.designs import described
from harness.analysis.factorial import Levels, varied
from harness.analysis.settings import GREEDY

Mask = npt.NDArray[np.bool_]
TEXT, PROMPT_UNIT, SET = "text", "prompt", "set"


@dataclass(frozen=True)
class Arm:
    """The values of one metric, regime and setting.

    Attributes:
        block, regime, setting: where they come from; numbers of the block's regime and setting.
        values: [*training axes, prompts, levels]. Training has one axis, or one per role in a complete crossed design.
            NaN: not defined, only where `unbalanced`; every (run, prompt) has a value.
        errors: of a metric over replicates the squared standard errors, shaped as `values`; None: unknown.
        levels: role levels of the distinct runs, in the order of the flattened training axes.
        merged: several replicates are this one run by construction.
        told: the training die can be estimated: a joint or a complete crossed design.
        notes: what was left out.
    """

    block: Block
    regime: int
    setting: int
    values: Floats
    errors: Floats | None
    levels: tuple[Levels, ...]
    merged: bool
    told: bool
    notes: tuple[str, ...]

    @property
    def runs(self) -> int:
        """The number of distinct runs."""
        return len(self.levels)

    @property
    def prompts(self) -> int:
        """The number of prompts or examples; 1 where the unit has none."""
        return int(self.values.shape[-2])

    @property
    def unbalanced(self) -> bool:
        """Some replicates of a (run, prompt) have no value."""
        return bool(np.isnan(self.values).any())

    @property
    def greedy(self) -> bool:
        """Nothing is sampled."""
        return bool(self.block.settings[self.setting][0] == GREEDY)

    @property
    def layout(self) -> Layout:
        """Axes with one level left out."""
        training = self.values.ndim - 2 if self.runs > 1 else 0
        return Layout(training, prompt=self.values.shape[-2] > 1, decode=self.values.shape[-1] > 1)

    @property
    def design(self) -> str:
        """The design with the factors that it really has."""
        return described(self.block.design, self.levels)


def arm_tables(block: Block, errors: Block | None = None) -> Iterator[Arm]:
    """The arms of a block that have a value; `errors` is the block of the metric's standard errors."""
    for regime in range(len(block.regimes)):
        runs, merged = _distinct(block, regime)
        for setting in range(len(block.settings)):
            values = block.values[regime, setting][runs]
            if np.isnan(values).all():
                continue
            found = None if errors is None else _errors(errors, block.regimes[regime], block.settings[setting], runs)
            yield _arm(block, (regime, setting), values, found, [block.roles[regime][run] for run in runs], merged)


def _distinct(block: Block, regime: int) -> tuple[list[int], bool]:
    """The first replicate of every cell, and whether several replicates are one and the same cell."""
    cells, roles = block.cells[regime], block.roles[regime]
    first = {cell or str(run): run for run, cell in reversed(list(enumerate(cells))) if roles[run] is not None}
    runs = sorted(first.values())
    return runs, len(runs) == 1 and sum(levels is not None for levels in roles) > 1


def _errors(block: Block, regime: str, setting: tuple[object, ...], runs: Sequence[int]) -> Floats | None:
    """Squared standard errors of an arm, where that block has it."""
    if regime not in block.regimes or setting not in block.settings:
        return None
    mine = block.values[block.regimes.index(regime), block.settings.index(setting)]
    return np.asarray(np.square(mine[list(runs)]))


def _arm(
    block: Block,
    place: tuple[int, int],
    values: Floats,
    errors: Floats | None,
    levels: Sequence[Levels | None],
    merged: bool,
) -> Arm:
    some: Mask = np.asarray(~np.isnan(values).all(axis=(1, 2)))
    notes = [] if some.all() else [f"{int((~some).sum())} runs have no value of this metric"]
    values = _single(values[some], block.unit)
    errors = None if errors is None or np.isnan(errors).all() else errors[some]
    kept = [run for run, has in zip(levels, some, strict=True) if has and run is not None]
    if block.settings[place[1]][0] == GREEDY:
        values = values[..., :1]
    whole = values if errors is None else np.where(np.isnan(errors), math.nan, values)
    rows, columns, dropped = _defined(whole, block.unit)
    values = values[:, rows][..., columns]
    errors = None if errors is None else errors[:, rows][..., columns]
    order, shape = _axes(block.design, kept)
    told = shape is not None
    axes = shape if shape is not None else (len(kept),)
    values = values[order].reshape(*axes, *values.shape[1:])
    errors = None if errors is None else errors[order].reshape(values.shape)
    ordered_levels = tuple(kept[run] for run in order)
    return Arm(block, *place, values, errors, ordered_levels, merged, told, (*notes, *dropped))


def _single(values: Floats, unit: str) -> Floats:
    """Texts of which no (run, prompt) has two defined replicates: one replicate, whatever its level."""
    if unit != TEXT or (~np.isnan(values)).sum(axis=2).max() > 1:
        return values
    return np.asarray(np.where(np.isnan(values), 0.0, values).sum(axis=2, keepdims=True)) + np.where(
        np.isnan(values).all(axis=2, keepdims=True), math.nan, 0.0
    )


def _defined(values: Floats, unit: str) -> tuple[Mask, Mask, list[str]]:
    """Which prompts and decode levels to keep (masks), and what to say about the others."""
    there = ~np.isnan(values)
    alone = unit == SET or values.shape[1] == 1
    levels: Mask = np.asarray(there.all(axis=(0, 1)) if alone else there.any(axis=(0, 1)))
    prompts: Mask = np.asarray(there[..., levels].any(axis=2).all(axis=0))
    named = {"examples" if unit == EXAMPLE else "prompts": prompts, "decode levels": levels}
    notes = [
        f"{int((~mask).sum())} of {mask.size} {name} left out: not defined in every run"
        for name, mask in named.items()
        if not mask.all()
    ]
    return prompts, levels, notes


def _axes(design: str, levels: Sequence[Levels]) -> tuple[list[int], tuple[int, ...] | None]:
    """The order of the runs and the sizes of the training axes; None where the training die is not told."""
    order = sorted(range(len(levels)), key=lambda run: levels[run])
    if len(set(levels)) < len(levels):
        raise ValueError("two runs of one arm have the same levels")
    if design == "isolated":
        return order, None
    sizes = tuple(len(axis) for axis in varied(levels).values()) if design == "crossed" else (len(levels),)
    return order, (sizes or (1,)) if math.prod(sizes) == len(levels) else None


def too_few(arm: Arm) -> bool:
    """More than half of the prompts (or of a set metric's levels) were left out: what is left is another question."""
    whole = arm.block.values.shape
    if arm.block.unit == SET:
        return 2 * int(arm.values.shape[-1]) < int(whole[4]) and not arm.greedy
    return 2 * arm.prompts < int(whole[3])
