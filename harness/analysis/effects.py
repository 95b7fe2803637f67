"""The table `effects`: what regimes, decoding settings and the dice each add to the variance of a metric.

The total of the table is the variance of one value drawn from the grid: a regime and a setting drawn with equal
chances from those of the grid, a new training replicate, a new prompt, a new decode level. Regimes and settings are
fixed: their variance is that of the finite population of the grid's levels (divisor: their number), the bias that the
error brings taken out. A random component under `regime x ...` or `top_k x ...` is what regimes or settings change of
it. By the law of total variance all rows but `total` add up to the total, whatever shares noise with whatever.

Regimes share training replicates, settings share prompts and decode levels; greedy texts stand at every level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.blocks import EXAMPLE, SPLIT, Block
from harness.analysis.complete import Complete, complete
from harness.analysis.fixed import Estimate, effect_variance
from harness.analysis.largest_contrast import fixed_name, grid_range, largest
from harness.analysis.mean_squares import EVERY, Fixed, Floats, Part, every, parts
from harness.analysis.order import ordered
from harness.analysis.random_parts import INFERENCE, Shape, Weights, added, component_weights, estimates
from harness.analysis.study import Study

FIXED, RANDOM, TOTAL = "fixed", "random", "total"
COLUMNS = [
    "task",
    "model",
    "split",
    "metric",
    "unit",
    "effect",
    "kind",
    "variance",
    "ci_low",
    "ci_high",
    "df",
    "sd",
    "share",
    "contrast",
    "contrast_low",
    "contrast_high",
    "contrast_what",
    "range",
    "n",
    "n_prompts",
    "note",
]
NOT_TESTED = ("train", "validation")
ERROR = "-error"
SET = "set"
SAME = "no variation: no interval"
Row = dict[str, Any]


def effects(study: Study) -> pd.DataFrame:
    """One row per task, model, metric and effect: its variance in the metric's squared unit with a 95 % interval.

    kind `fixed` (regime, top_k or setting, their interaction) has the variance over the grid's levels, and in
    `contrast` the largest minus the smallest mean over them in the metric's own unit; picked after looking, so its
    interval holds for all pairs of levels together. kind `random` are the components of the dice, of prompts (rows of
    the split for training metrics) and of their products with the fixed effects; `inference` is everything with
    decode. `df`: of the estimate (random) or of its error (fixed). `share` is of the total, without an interval.
    Estimates are not cut at 0; `sd` is the root of the cut variance. NaN: unknown, and `note` says why.

    Training metrics are those of the test splits, with the regime as the only fixed effect. `n` and `n_prompts` count
    the training replicates and prompts that the estimates are from.
    """
    rows = [row for block in chosen(study) for row in _rows(block)]
    return ordered(pd.DataFrame(rows, columns=COLUMNS), ["task", "model", "split", "metric", "unit"], study.regimes)


def chosen(study: Study) -> Iterator[Block]:
    """Blocks of test splits (by example where there are examples) and of texts; a metric's own error is none."""
    examples = [block for block in study.examples if block.split not in NOT_TESTED]
    known = {block.name for block in examples}
    yield from examples
    yield from (block for block in study.runs if block.split not in NOT_TESTED and block.name not in known)
    names = {(block.task, block.model, block.metric) for block in study.texts}
    for block in study.texts:
        stem = block.metric.removesuffix(ERROR)
        if stem == block.metric or (block.task, block.model, stem) not in names:
            yield block


def _rows(block: Block) -> Iterator[Row]:
    factors = {name: getattr(block, name) for name in ("task", "model", "split", "metric", "unit")}
    table = complete(block)
    lost = table if isinstance(table, str) else _lacking(block.unit, table)
    if isinstance(table, str) or lost:
        yield {**factors, **_numbers(TOTAL, TOTAL, Estimate(math.nan), math.nan), "note": lost}
        return
    facts = {
        "range": grid_range(table, _sampled(block.unit)),
        "n": len(table.replicates),
        "n_prompts": table.values.shape[3] if block.unit not in (SPLIT, SET) else None,
    }
    for row in _effects(block.unit, table):
        note = "; ".join(filter(None, (row.pop("note", ""), table.note)))
        yield {**factors, **row, **facts, "note": note}


def _lacking(unit: str, table: Complete) -> str:
    """Why nothing can be told of a complete table; empty where something can."""
    _, _, runs, prompts, levels = table.values.shape
    notes = ["one training replicate: its variance is unknown"] if runs < 2 else []
    if unit not in (SPLIT, SET) and prompts < 2:
        notes.append("one prompt: its variance is unknown")
    if unit == SET and levels < 2:
        notes.append("one inference replicate: its variance is unknown")
    return "; ".join([*notes, table.note] if notes and table.note else notes)


def _effects(unit: str, table: Complete) -> Iterator[Row]:
    """The effects' own columns; the total stands last."""
    values = table.values.transpose(0, 1, 2, 4, 3) if unit == SET else table.values
    nothing = (1e-12 * float(np.abs(values).max())) ** 2
    found = list(parts(values))
    fixed = {part.axes: _cut(effect_variance(part), nothing) for part in found if part.axes}
    shape = Shape(values.shape[2], values.shape[3], values.shape[4], decode_only=unit == SET)
    random = _random(found, every(values, shape.decode_axis), shape, table, nothing)
    whole = _whole(random.pop(TOTAL), list(fixed.values()))
    for axes in ((0,), (1,), (0, 1)) if _sampled(unit) else ((0,),):
        name = fixed_name(axes, table.settings)
        yield _numbers(name, FIXED, fixed.get(axes, Estimate(math.nan)), whole.value) | _extra(axes, values, table)
    for name, one in random.items():
        yield _numbers(name, RANDOM, one, whole.value) | {"note": _told(one)}
    if INFERENCE not in random:
        yield _inference(unit, whole.value)
    yield _numbers(TOTAL, TOTAL, whole, whole.value) | {"note": _told(whole)}


def _random(found: list[Part], together: Part, shape: Shape, table: Complete, nothing: float) -> dict[str, Estimate]:
    """The random components by name, plain ones first, and under `total` their sum."""
    several: dict[str, Weights] = {}
    for part in found:
        for name, weights in component_weights(part.axes, shape).items():
            if name != INFERENCE:
                several[" x ".join(filter(None, (fixed_name(part.axes, table.settings), name)))] = weights
    if "W" in together.squares:
        several[INFERENCE] = {(EVERY, "W"): 1.0}
    several[TOTAL] = added(list(component_weights(EVERY, shape).values()))
    return estimates(several, [*found, together], nothing)


def _whole(random: Estimate, fixed: list[Estimate]) -> Estimate:
    """The sum of all rows; interval by the recovery of variance estimates (Zou and Donner 2008, Stat. Med. 27:1693)."""
    every = [random, *fixed]
    value = math.fsum(one.value for one in every)
    below = math.sqrt(math.fsum((one.value - one.low) ** 2 for one in every if not math.isnan(one.low)))
    above = math.sqrt(math.fsum((one.high - one.value) ** 2 for one in every if not math.isnan(one.high)))
    bounds = (value - below, value + above) if below + above > 0.0 else (math.nan, math.nan)
    return Estimate(value, *bounds)


def _cut(one: Estimate, nothing: float) -> Estimate:
    return one if math.isnan(one.value) or abs(one.value) > nothing else Estimate(0.0)


def _numbers(effect: str, kind: str, one: Estimate, total: float) -> Row:
    return {
        "effect": effect,
        "kind": kind,
        "variance": one.value,
        "ci_low": one.low,
        "ci_high": one.high,
        "df": one.df,
        "sd": math.sqrt(max(one.value, 0.0)) if not math.isnan(one.value) else math.nan,
        "share": one.value / total if total > 0.0 else math.nan,
    }


def _extra(axes: Fixed, values: Floats, table: Complete) -> Row:
    """The columns of a fixed effect beside its variance."""
    if all(values.shape[axis] > 1 for axis in axes):
        found = largest(axes, values, table)
        return found | {"note": "" if not math.isnan(found["contrast_low"]) else SAME}
    names = ["one regime", "one setting"]
    return {"note": "; ".join(f"{names[axis]}: no effect to be seen" for axis in axes if values.shape[axis] < 2)}


def _inference(unit: str, total: float) -> Row:
    """The row of the inference die where the data has no axis for it."""
    if unit in (EXAMPLE, SPLIT):
        note = "0 by construction: dropout is off and nothing is drawn when a split is evaluated"
        return _numbers(INFERENCE, RANDOM, Estimate(0.0), total) | {"note": note}
    note = "no axis of inference replicates: what they add stands in the rows of training and prompt"
    return _numbers(INFERENCE, RANDOM, Estimate(math.nan), total) | {"note": note}


def _told(one: Estimate) -> str:
    return SAME if one.value == 0.0 and math.isnan(one.low) else ""


def _sampled(unit: str) -> bool:
    """Whether decoding settings are an axis of the unit."""
    return unit not in (EXAMPLE, SPLIT)
