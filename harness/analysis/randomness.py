"""The table `randomness`: which die made a number, by metric, regime and setting, in two units.

Per unit (text, prompt, set, example) and per benchmark score: the mean over the prompts of one decode replicate, in
which everything but the training die is divided by the number of prompts. Estimators: harness/analysis/crossed.py and
unbalanced.py; intervals: pivots.py; what is unknown or zero by construction: known.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from harness.analysis.arm_tables import PROMPT_UNIT, TEXT, Arm, arm_tables
from harness.analysis.arms import TRAINING_ARM
from harness.analysis.blocks import EXAMPLE, SPLIT, Block
from harness.analysis.heads import FLOOR, HEADS
from harness.analysis.known import Told, told
from harness.analysis.measured_floor import Floors, measured_floors
from harness.analysis.order import ordered
from harness.analysis.settings import SETTING
from harness.analysis.solutions import Number, solutions
from harness.analysis.study import Study

WHERE = [*TRAINING_ARM, "split", *SETTING, "metric", "unit"]
NUMBERS = ["variance", "ci_low", "ci_high", "truncated", "share", "share_low", "share_high", "df"]
SCORES = ["score_variance", "score_low", "score_high", "score_share", "score_share_low", "score_share_high"]
COLUMNS = [*WHERE, "component", "head", "n_training", "n_prompts", "n_inference", *NUMBERS, *SCORES]
COLUMNS += ["design", "method", "note"]
ERROR = "-error"
_ORDER = [*TRAINING_ARM, "split", "metric", "unit", *SETTING]
Row = dict[str, Any]


def randomness(study: Study) -> pd.DataFrame:
    """One row per task, model, regime, split, setting, metric, unit and component.

    `variance` in the metric's squared unit with its 95 % interval, as it was estimated: it may be negative, and
    `truncated` is max(0, variance). `share` is of the total, the variance of one value of which everything is drawn
    anew. `score_*` is the same per benchmark score. `df` are Satterthwaite's of `variance`. Rows with `head` are the
    table; the others say how the sampler couples its noise between runs. NaN: unknown or without an interval; `note`
    says why. `n_training` counts distinct runs.

    Raises:
        ValueError: two runs of an arm have the same levels.
    """
    arms = [arm for block, errors in blocks_of(study) for arm in arm_tables(block, errors)]
    floors = measured_floors(study.tables)
    levels = _levels(study.texts)
    rows: list[Row] = []
    for arm, solution in zip(arms, solutions(arms), strict=True):
        shown = _shown(arm, levels)
        rows += [_row(shown, name, row) for name, row in told(arm, solution).items()]
        rows += _floor(shown, floors)
    return ordered(pd.DataFrame(rows, columns=COLUMNS), _ORDER, study.regimes)


def blocks_of(study: Study) -> Iterator[tuple[Block, Block | None]]:
    """The blocks that the table is about, each with the block of its standard errors.

    Loss and accuracy are taken by example where that is there. A block of standard errors has no rows of its own.
    """
    by_example = {(block.task, block.model, block.split, block.metric) for block in study.examples}
    yield from ((block, None) for block in study.examples)
    for block in study.runs:
        if (block.task, block.model, block.split, block.metric) not in by_example:
            yield block, None
    errors = {(b.task, b.model, b.unit, b.metric): b for b in study.texts if b.metric.endswith(ERROR)}
    names = {(block.task, block.model, block.unit, block.metric) for block in study.texts}
    for block in study.texts:
        key = (block.task, block.model, block.unit)
        if (*key, block.metric.removesuffix(ERROR)) in names and block.metric.endswith(ERROR):
            continue
        yield block, errors.get((*key, block.metric + ERROR))


def _levels(texts: Sequence[Block]) -> dict[tuple[str, str], int]:
    """By task and model the number of decode levels: what a metric over replicates is over."""
    found: dict[tuple[str, str], int] = {}
    for block in texts:
        key = (block.task, block.model)
        found[key] = max(found.get(key, 0), block.values.shape[4])
    return found


def _shown(arm: Arm, levels: dict[tuple[str, str], int]) -> Row:
    """What all rows of an arm have in common."""
    block = arm.block
    trained = block.unit in (SPLIT, EXAMPLE)
    setting = ("", math.nan, math.nan, math.nan) if trained else block.settings[arm.setting]
    replicates: float = arm.values.shape[-1]
    if block.unit == PROMPT_UNIT and not arm.greedy:
        replicates = levels[block.task, block.model]
    return {
        **dict(zip(TRAINING_ARM, (block.task, block.model, block.regimes[arm.regime]), strict=True)),
        "split": block.split,
        **dict(zip(SETTING, setting, strict=True)),
        "metric": block.metric,
        "unit": block.unit,
        "n_training": arm.runs,
        "n_prompts": arm.prompts if block.unit in (TEXT, PROMPT_UNIT, EXAMPLE) else math.nan,
        "n_inference": math.nan if trained else replicates,
        "design": arm.design,
        "note": "; ".join(arm.notes),
    }


def _row(shown: Row, name: str, numbers: Told) -> Row:
    unit, score, method, note = numbers
    return {
        **shown,
        "component": name,
        "head": name in HEADS,
        **dict(zip(NUMBERS, _unit_columns(unit), strict=True)),
        **dict(zip(SCORES, _score_columns(score), strict=True)),
        "method": method,
        "note": "; ".join(filter(None, [note, shown["note"]])),
    }


def _unit_columns(number: Number) -> list[float]:
    found = asdict(number)
    cut = number.variance if math.isnan(number.variance) else max(0.0, number.variance)
    return [*(found[name] for name in ("variance", "low", "high")), cut, *_shares(number), number.df]


def _score_columns(number: Number) -> list[float]:
    return [number.variance, number.low, number.high, *_shares(number)]


def _shares(number: Number) -> list[float]:
    return [number.share, number.share_low, number.share_high]


def _floor(shown: Row, floors: Floors) -> Iterator[Row]:
    """The measured noise floor of an arm, where identical-seed repeats tell it."""
    trained = shown["unit"] in (SPLIT, EXAMPLE)
    arm = tuple(shown[factor] for factor in TRAINING_ARM)
    found = floors.scores.get((*arm, shown["split"], shown["metric"])) if trained else floors.texts.get(arm)
    if found is not None:
        unit = Number() if trained else Number(found.variance)
        yield _row({**shown, "note": ""}, FLOOR, (unit, Number(found.variance), "identical-seed repeats", found.note))
