"""The numbers of one contrast: difference, interval, tests and P(better) of two arms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.blocks import EXAMPLE, SPLIT, Block
from harness.analysis.contrast_pairs import Arm, Pairs, matched, run_means, shared_prompts
from harness.analysis.directions import direction
from harness.analysis.intervals import Interval, correlation, t_quantile, t_test
from harness.analysis.multiplicity import FEWEST_FLIPPED, sign_flip
from harness.analysis.prompt_means import OverPrompts, over_prompts
from harness.analysis.wins import win_columns

Floats = npt.NDArray[np.float64]
ROW = ["n", "n_prompts", "mean", "reference_mean", "difference", "ci_low", "ci_high", "df", "correlation", "t", "p"]
ROW += ["better", "better_low", "better_high", "reading", "sign_flip_p", "sign_flip_smallest", "pairing", "note"]
ROW += ["direction", "design"]
UNPAIRED = "unpaired"
SAME_CELLS = "both are the same training cells: the difference is zero by construction"
ISOLATED = "isolated design: no interval"
EQUAL = "all differences are equal: no interval"
SURVIVORS = "a run has no value here (a loss never reached): of the others alone, no interval"


def compared(mine: Arm, theirs: Arm, block: Block, pairing: str, *, regimes: bool) -> dict[str, Any]:
    """The columns `ROW` of mine - theirs.

    Args:
        mine, theirs: arms of the block.
        regimes: whether they are two regimes, which may be the same training cells, and not two settings of one.
        block: whose unit, design and metric decide what may be said.
        pairing: what is paired, in words.
    """
    pairs = matched(mine, theirs)
    way = direction(block.metric, of_texts=block.unit not in (SPLIT, EXAMPLE))
    pairs = replace(pairs, merged=pairs.merged and regimes)
    numbers = _paired(pairs, block, way) if len(pairs.mine) else _unpaired(mine, theirs, block)
    if block.unit == SPLIT and (mine.undefined or theirs.undefined):
        numbers = _of_survivors(numbers, mine, theirs)
    unknown = {name: math.nan for name in ROW if name not in numbers}
    own = {"direction": way, "design": block.design, "pairing": numbers.get("pairing", pairing)}
    return {**unknown, "reading": "", **numbers, **own}


def _of_survivors(numbers: dict[str, Any], mine: Arm, theirs: Arm) -> dict[str, Any]:
    """The means alone: runs without a value are no accident, so a test of the others would tell too small a difference.

    A loss that a run never reaches has no number of steps; the claim dynamic-faster counts such runs.
    """
    kept = ("n", "n_prompts", "mean", "reference_mean", "difference", "pairing")
    lost = f"no value: {mine.undefined} runs and {theirs.undefined} of the reference; {SURVIVORS}"
    others = "" if "pairing" in numbers else numbers["note"]  # an unpaired row's note tells of a test
    note = "; ".join(filter(None, [lost, others]))
    return {**{name: value for name, value in numbers.items() if name in kept}, "note": note}


def _paired(pairs: Pairs, block: Block, way: str) -> dict[str, Any]:
    changes = pairs.mine - pairs.theirs
    found = over_prompts(block.design, pairs.levels, changes)
    sides = [_means(side, found) for side in (pairs.mine, pairs.theirs)]
    interval = found.interval
    apart = _means(changes, found)
    numbers = {
        **_interval(interval, [float(side.mean()) for side in sides]),
        "n_prompts": None if block.unit in (SPLIT, "set") else int(found.prompts.sum()),
        "correlation": math.nan if block.design == "isolated" else correlation(*(side.tolist() for side in sides)),
        "note": "; ".join(_notes(pairs, found, block)),
    }
    if block.design != "joint" or pairs.merged:
        return numbers
    return numbers | win_columns(sides[0].tolist(), sides[1].tolist(), way, block.design) | _flips(apart)


def _means(values: Floats, found: OverPrompts) -> Floats:
    """Of every run over the prompts that count."""
    return np.asarray(np.nanmean(values[:, found.prompts], axis=1))


def _interval(interval: Interval, means: list[float]) -> dict[str, Any]:
    own = {"mean": means[0], "reference_mean": means[1], "difference": interval.mean}
    bounds = {"ci_low": interval.low, "ci_high": interval.high}
    return {"n": interval.n, **own, **bounds, "df": interval.df, "t": interval.t, "p": interval.p}


def _flips(apart: Floats) -> dict[str, Any]:
    if len(apart) < FEWEST_FLIPPED:
        return {}
    p, smallest = sign_flip(apart)
    return {"sign_flip_p": p, "sign_flip_smallest": smallest}


def _notes(pairs: Pairs, found: OverPrompts, block: Block) -> list[str]:
    notes = [SAME_CELLS] if pairs.merged else []
    if any(pairs.alone):
        notes.append(f"left out, without a partner: {pairs.alone[0]} runs and {pairs.alone[1]} of the reference")
    if pairs.across:
        notes.append(f"{pairs.across} of {len(pairs.mine)} pairs across environments: their difference is included")
    lost = int((~found.prompts).sum())
    if lost:
        what = "examples" if block.unit == EXAMPLE else "prompts"
        notes.append(f"without {lost} of {len(found.prompts)} {what}, which lack a value in some pair")
    if pairs.partial[0] < pairs.partial[1]:
        notes.append(f"unbalanced: prompts have {pairs.partial[0]} to {pairs.partial[1]} paired values a run")
    return [*notes, *_without_interval(pairs, found, block)]


def _without_interval(pairs: Pairs, found: OverPrompts, block: Block) -> list[str]:
    """Why there is no interval; nothing where there is one, or where the pairs are the same cells."""
    if not math.isnan(found.interval.low) or pairs.merged:
        return []
    if found.interval.n < 2:
        return ["1 pair: no interval"]
    return [found.note or (ISOLATED if block.design == "isolated" else EQUAL)]


def _unpaired(mine: Arm, theirs: Arm, block: Block) -> dict[str, Any]:
    """Welch's t of the runs' means; nothing but the means where the runs are not independent, or too few."""
    shared = shared_prompts(mine, theirs)
    apart = not shared.any()  # different prompts: their difference would stand as the arms'
    sides = [run_means(one, None if apart else shared) for one in (mine, theirs)]
    numbers: dict[str, Any] = {"pairing": UNPAIRED, "n": min(map(len, sides)), "n_prompts": None}
    means = [float(side.mean()) if len(side) else math.nan for side in sides]
    numbers |= {"mean": means[0], "reference_mean": means[1], "difference": means[0] - means[1]}
    note = f"no pair: {len(sides[0])} runs against {len(sides[1])} of the reference"
    note += "; no prompt in common" if apart else ""
    if apart or block.design != "joint" or min(map(len, sides)) < 2:
        return {**numbers, "note": f"{note}; no interval"}
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    error = math.sqrt(sum(parts))
    if not error > 1e-12 * max(map(abs, means)):
        return {**numbers, "note": f"{note}; {EQUAL}"}
    df = error**4 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    t, half = numbers["difference"] / error, t_quantile(0.975, df) * error
    bounds = {"ci_low": numbers["difference"] - half, "ci_high": numbers["difference"] + half}
    return {**numbers, **bounds, "df": df, "t": t, "p": t_test(t, df), "note": f"{note}; Welch's t, given the prompts"}
