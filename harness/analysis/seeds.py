"""The table `seeds`: what difference between regimes the design can resolve, and how many seeds a wanted one needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.allocation import Components, Size, components_of
from harness.analysis.blocks import SPLIT, Block
from harness.analysis.complete import Complete, complete
from harness.analysis.effects import SET, chosen
from harness.analysis.mean_squares import Floats, mean_squares
from harness.analysis.multiplicity import smallest_sign_flip_p
from harness.analysis.order import ordered
from harness.analysis.power import LEVEL, POWER, power, resolvable
from harness.analysis.study import Study

COLUMNS = [
    "task",
    "model",
    "split",
    "metric",
    "unit",
    "comparison",
    "n",
    "n_prompts",
    "n_inference",
    "family_size",
    "df",
    "sd_of_difference",
    "resolvable",
    "wanted",
    "needed_training",
    "needed_prompts",
    "needed_inference",
    "smallest_p",
    "note",
]
# A design that needs more of one kind than this is not mended by that kind.
MOST = 10_000
NO_VARIATION = "the differences do not vary: nothing to plan from"
Row = dict[str, Any]


def seeds(study: Study, resolve: Mapping[str, float] | None = None) -> pd.DataFrame:
    """One row per task, model, metric and regime beside the reference: what the design resolves, what a wish needs.

    `resolvable` is the smallest true difference (in the metric's unit) that a two-sided t test finds with 80 % power
    at 5 % divided by the number of regimes compared (Holm's first step). Training metrics are those of the test
    splits; of texts the mean over all settings of the grid. The error is that of a mean over new training replicates
    and new prompts (rows of the split); its components are estimated from the differences, negative ones set to 0, so
    they are as uncertain as `df` says.

    `wanted` is `resolve[metric]`, else half of what is resolved now. `needed_training`, `needed_prompts` and
    `needed_inference` are how many of one kind resolve it while the others stay as they are; NaN where that kind alone
    (up to 10,000) cannot, or where the metric has no such axis. `smallest_p` is the smallest p of a sign-flip test.
    """
    rows = [row for block in chosen(study) for row in _rows(block, study.reference, resolve or {})]
    by = ["task", "model", "split", "metric", "unit"]
    return ordered(pd.DataFrame(rows, columns=COLUMNS), by, study.regimes)


def _rows(block: Block, reference: str, resolve: Mapping[str, float]) -> Iterator[Row]:
    names = [name for name in block.regimes if name != reference]
    if not names:
        return
    table = complete(block)
    factors = {name: getattr(block, name) for name in ("task", "model", "split", "metric", "unit")}
    for name in names:
        what = {**factors, "comparison": f"{name} - {reference}", "family_size": len(names)}
        if isinstance(table, str):
            yield {**what, "note": table}
        elif name not in table.regimes or reference not in table.regimes:
            yield {**what, "note": table.note}
        else:
            found = _planned(differences(table, name, reference), block.unit, len(names), resolve.get(block.metric))
            yield {**what, **found, "note": "; ".join(filter(None, (found["note"], table.note)))}


def differences(table: Complete, regime: str, reference: str) -> Floats:
    """Differences of the means over settings, shape (training, prompts, levels)."""
    mine, theirs = (table.values[table.regimes.index(name)] for name in (regime, reference))
    return np.asarray((mine - theirs).mean(axis=0))


def _planned(scores: Floats, unit: str, family: int, wanted: float | None) -> Row:
    """The columns of one comparison."""
    if unit == SET:  # decode levels are what prompts are elsewhere: the second random axis
        scores = scores.transpose(0, 2, 1)
    now = Size(*scores.shape)
    smallest = smallest_sign_flip_p(now.runs)
    counts = _counts(now, unit)
    if now.runs < 2:
        return {**counts, "smallest_p": smallest, "note": "one training replicate: nothing to plan from"}
    parts = components_of(mean_squares(scores[None]), now)
    variance, df = parts.error(now)
    resolved = resolvable(math.sqrt(variance), df, family)
    if not variance > (1e-12 * float(np.abs(scores).max())) ** 2:
        resolved, df = math.nan, math.nan
    wish = resolved / 2.0 if wanted is None else wanted
    return {
        **counts,
        "df": df,
        "sd_of_difference": float(scores.mean(axis=(1, 2)).std(ddof=1)),
        "resolvable": resolved,
        "wanted": wish,
        **_needed(parts, now, unit, family, wish if not math.isnan(resolved) else math.nan),
        "smallest_p": smallest,
        "note": _note(now.runs, family, smallest, math.isnan(resolved)),
    }


def _counts(now: Size, unit: str) -> Row:
    second = {"n_inference": now.prompts} if unit == SET else {}
    prompts = {} if unit in (SPLIT, SET) else {"n_prompts": now.prompts}
    levels = {"n_inference": now.levels} if unit == "text" else {}
    return {"n": now.runs, **second, **prompts, **levels}


def _note(pairs: int, family: int, smallest: float, nothing: bool) -> str:
    notes = [NO_VARIATION] if nothing else []
    if smallest * family > LEVEL:
        notes.append(unreachable(pairs, family))
    return "; ".join(notes)


def unreachable(pairs: int, family: int) -> str:
    """What cannot be concluded from so few pairs in so large a family."""
    return (
        f"a sign-flip test of {pairs} pairs cannot reach adjusted p < .05 over {family} contrasts at all; Student's t"
        " can, but trusts that differences are normal"
    )


def _needed(parts: Components, now: Size, unit: str, family: int, wanted: float) -> Row:
    """How many of each kind alone resolve the wanted difference."""
    if not wanted > 0.0:
        return {}

    def runs(count: int) -> Size:
        return replace(now, runs=count)

    def prompts(count: int) -> Size:
        return replace(now, prompts=count)

    def levels(count: int) -> Size:
        return replace(now, levels=count)

    axes: dict[str, Callable[[int], Size]] = {"needed_training": runs}
    if unit == SET:
        axes["needed_inference"] = prompts
    elif unit != SPLIT:
        axes["needed_prompts"] = prompts
    if unit == "text" and now.levels > 1:
        axes["needed_inference"] = levels
    found = {name: smallest_count(parts, size, family, wanted) for name, size in axes.items()}
    return {name: math.nan if count is None else count for name, count in found.items()}


def smallest_count(parts: Components, size: Callable[[int], Size], family: int, wanted: float) -> int | None:
    """The smallest count whose design resolves the wanted difference, by bisection; None where MOST does not."""

    def enough(count: int) -> bool:
        variance, df = parts.error(size(count))
        return variance > 0.0 and power(wanted, math.sqrt(variance), df, family) >= POWER

    if not enough(MOST):
        return None
    low, high = 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
