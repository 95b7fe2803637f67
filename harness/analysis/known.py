"""What an arm's design leaves unknown, and what is zero by construction: neither is ever an estimate."""

from __future__ import annotations

import math

from harness.analysis.arm_tables import PROMPT_UNIT, SET, TEXT, Arm, too_few
from harness.analysis.blocks import EXAMPLE, SPLIT
from harness.analysis.heads import (
    BOTH,
    DECODE,
    DECODE_PROMPT,
    INFERENCE,
    PROMPT,
    TOTAL,
    TRAINING,
    TRAINING_DECODE,
    TRAINING_DECODE_PROMPT,
)
from harness.analysis.solutions import REML, Number, Solution, all_equal
from harness.analysis.unbalanced import reml

FIVE = (TRAINING, PROMPT, BOTH, INFERENCE, TOTAL)
ROWS: dict[str, tuple[str, ...]] = {
    TEXT: (*FIVE, DECODE_PROMPT, TRAINING_DECODE_PROMPT),
    PROMPT_UNIT: FIVE,
    EXAMPLE: FIVE,
    SET: (TRAINING, INFERENCE, TOTAL, DECODE, TRAINING_DECODE),
    SPLIT: (TRAINING,),
}
GREEDY_ZERO = "zero by construction: greedy"
EVALUATION = "zero by construction: dropout is off and nothing is sampled"
MERGED = "zero by construction: all replicates are one cell"
EQUAL = "all values are equal: no interval"
CONSTANT = "does not vary here: no interval"
ONE_RUN = "one training replicate: unknown"
ONE_PROMPT = "one prompt: unknown"
ONE_REPLICATE = "one inference replicate: unknown"
NO_ERROR = "a value is over all replicates and has no standard error: unknown"
HIDDEN = "not told apart from the inference die"
ISOLATED = "isolated design: see table roles"
INCOMPLETE = "crossed design incomplete: unknown"
FEW = "more than half of the values' prompts were left out: no estimate"
APART = "crossed design with undefined values: not told apart"
JACKKNIFE = "jackknife over replicates: rather too large"
WITHOUT_JACKKNIFE = "less the jackknife variance over replicates: rather too small, no interval"
NO_WHOLE = "the total is not told from 0: no share"
BY_EXAMPLE = "the prompts are the split's examples"
BY_REML = "crossed design incomplete: no interval"

Told = tuple[Number, Number, str, str]


def told(arm: Arm, solution: Solution) -> dict[str, Told]:
    """By row: the number per unit and per benchmark score, the method, and a note."""
    lost = _unknown(arm)
    zero = _zero(arm)
    found = {}
    for name in ROWS[arm.block.unit]:
        if name in zero:
            found[name] = (Number(0.0), Number(0.0), "", zero[name])
        elif name in lost:
            found[name] = (Number(), Number(), "", lost[name])
        elif all_equal(arm) and (name in FIVE or name in solution.unit):
            found[name] = (Number(0.0), Number(0.0), solution.method, EQUAL)
        elif name in solution.unit:
            found[name] = _estimated(arm, name, solution)
        elif name in FIVE:
            found[name] = (Number(), Number(), "", APART)
    return _shown(arm, found)


def _shown(arm: Arm, found: dict[str, Told]) -> dict[str, Told]:
    """No shares without a whole; one value a run is a score and nothing else."""
    if arm.block.unit == SPLIT:
        return {TRAINING: _of_a_run(arm, found[TRAINING])}
    whole = found[TOTAL][0]
    if whole.variance > 0.0:
        return {name: _with_zero_share(row) for name, row in found.items()}
    return {
        name: (unit.without_share(), score.without_share(), method, note)
        for name, (unit, score, method, note) in found.items()
    }


def _with_zero_share(row: Told) -> Told:
    """What is zero by construction is no part of a whole that is known."""
    *_, method, note = row
    if note in (GREEDY_ZERO, EVALUATION, MERGED):
        return Number(0.0, share=0.0), Number(0.0, share=0.0), method, note
    return row


def _of_a_run(arm: Arm, row: Told) -> Told:
    _, score, method, note = row
    if note == INCOMPLETE:
        found = reml(arm.levels, arm.values.ravel().tolist())
        if found is not None:
            return Number(), Number(sum(found.values())), REML, BY_REML
    return Number(), score.without_share(), method, note


def _zero(arm: Arm) -> dict[str, str]:
    found = {}
    if arm.block.unit == EXAMPLE:
        found[INFERENCE] = EVALUATION
    elif arm.greedy:
        found[INFERENCE] = GREEDY_ZERO
    if arm.merged:
        found |= {TRAINING: MERGED, BOTH: MERGED}
    return found


def _unknown(arm: Arm) -> dict[str, str]:
    """Rows without an estimate, and why."""
    everything = ROWS[arm.block.unit]
    if too_few(arm):
        return dict.fromkeys(everything, FEW)
    found: dict[str, str] = {}
    sampled = arm.layout.decode or arm.greedy or arm.errors is not None or arm.block.unit in (EXAMPLE, SPLIT)
    if not sampled:
        mine = [PROMPT, BOTH] if arm.layout.prompt else [TRAINING, PROMPT, BOTH]
        found |= dict.fromkeys(mine, HIDDEN)
        found[INFERENCE] = NO_ERROR if arm.block.unit == PROMPT_UNIT else ONE_REPLICATE
    if not arm.layout.prompt:
        found |= dict.fromkeys([PROMPT, BOTH], ONE_PROMPT)
    if arm.merged:
        return found
    rest = [name for name in everything if name != INFERENCE]
    if not arm.told:
        found |= dict.fromkeys(rest, ISOLATED if arm.block.design == "isolated" else INCOMPLETE)
    elif arm.runs < 2:
        found |= dict.fromkeys(rest, ONE_RUN)
    return found


def _estimated(arm: Arm, name: str, solution: Solution) -> Told:
    unit, score = solution.unit[name], solution.score[name]
    if arm.errors is not None and name == BOTH:
        return unit.without_interval(), score.without_interval(), solution.method, WITHOUT_JACKKNIFE
    notes = [CONSTANT] if unit.variance == 0.0 else []
    notes += [JACKKNIFE] if arm.errors is not None and name == INFERENCE else []
    notes += [BY_EXAMPLE] if arm.block.unit == EXAMPLE and name == PROMPT else []
    notes += [NO_WHOLE] if math.isnan(score.share) and name == TOTAL else []
    return unit, score, solution.method, "; ".join(notes)
