"""The table `published`: numbers that a source reports, beside the same numbers of this grid.

A value agrees where the published mean of m runs lies in our 95 % prediction interval for the mean of m new runs,

    mean +- t_df * sqrt(s^2 / n + spread^2 / m),

with our n replicates, their standard deviation s and the published spread over runs (ours where it is unknown). df is
n - 1, or m - 1 where the spread is known from fewer runs than we have: two means estimated from few runs differ more
than a normal distribution says. An interval that wide cannot tell close numbers apart: `agrees` means that nothing
speaks against the published number, and the interval beside it says how much could be hidden.

The interval is widened by the rounding of the published number, where the grid names it.

It needs independent runs: in a crossed or isolated design the mean is shown and the verdict stays open.

An order agrees where every adjacent difference, paired by training replicate, has a 95 % interval above its margin
(0 where none is named), and does not agree where any has one below it (Student's t, or what the design allows:
harness/analysis/designs.py). The first holds by chance with at most 2.5 % where one difference is truly not above the
margin; the second with at most 2.5 % times the number of differences where all are truly above it.

A training replicate's value of a metric of texts is its mean over prompts and inference replicates
(harness/analysis/texts.py), so that an order of decoding settings compares texts of the same checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from harness.analysis.arms import TRAINING_ARM, cells_of, fates
from harness.analysis.designs import design_of
from harness.analysis.generalization import finished
from harness.analysis.intervals import Interval, t_quantile
from harness.analysis.published_arms import Arm, Run, arm_of, few, interval_of, lost
from harness.analysis.published_texts import text_arms, texts_of
from harness.spec.published_forms import OnTexts, Ordering, Published, PublishedNumber, Value

AGREES, DISAGREES, UNDECIDED = "agrees", "does not agree", "undecided"
ABOVE, BELOW, OPEN = "above", "below", "open"
COLUMNS = ["entry", "kind", "task", "model", "regime", "setting", "split", "unit", "metric"]
COLUMNS += ["published", "spread", "published_n", "statistic", "n", "mean", "sd", "ci_low", "ci_high"]
COLUMNS += ["prediction_low", "prediction_high", "same_estimator", "verdict"]
COLUMNS += ["failed", "missing", "note", "estimator", "source"]


def published_table(
    numbers: Sequence[PublishedNumber],
    training: pd.DataFrame,
    cells: pd.DataFrame,
    *,
    regimes: Sequence[str],
    metrics: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per published value; for an order one row with the verdict, then one per adjacent difference.

    Args:
        numbers: what the grid names, with task and model filled in (harness.spec.published).
        training: the store's table `training`.
        cells: the store's table `cells`.
        regimes: the grid's regimes, in its order.
        metrics: the store's table `generation_metrics`; None: there are no texts.

    Raises:
        ValueError: the tables contradict themselves; see harness.analysis.generalization and .generation.
    """
    if not numbers:
        return pd.DataFrame(columns=COLUMNS)
    values, design = finished(training, cells, regimes), design_of(training)
    counts = fates(cells_of(cells, "training", regimes), TRAINING_ARM)
    texts = texts_of(numbers, metrics, training, cells, regimes)
    rows: list[dict[str, Any]] = []
    for place, number in enumerate(numbers, start=1):
        if isinstance(number, OnTexts):
            arms = text_arms(number, texts)
        else:
            arms = {name: arm_of(number, name, values, counts, design) for name in number.regimes}
        found = _value_rows(number, arms) if isinstance(number, Value) else _ordering_rows(number, arms)
        rows += [{"entry": place, **_common(number), **row} for row in found]
    return pd.DataFrame(rows, columns=COLUMNS)


def prediction_interval(ours: Interval, spread: float | None, runs: int) -> tuple[float, float]:
    """Where the mean of so many new runs lies with 95 %; NaN where our spread is unknown or 0.

    Args:
        ours: our replicates.
        spread: published standard deviation over runs; None where it is not known.
        runs: published runs.
    """
    if math.isnan(ours.low):
        return math.nan, math.nan
    df = ours.n - 1 if spread is None else min(ours.n, runs) - 1
    theirs = ours.sd if spread is None else spread
    half = t_quantile(0.975, df) * math.sqrt(ours.sd**2 / ours.n + theirs**2 / runs)
    return ours.mean - half, ours.mean + half


def _common(number: Published) -> dict[str, Any]:
    named = ("task", "model", "metric", "same_estimator", "estimator", "source")
    of_texts = {"regime": number.regimes[0], "unit": number.unit} if isinstance(number, OnTexts) else {"setting": ""}
    measured = {"split": getattr(number, "split", ""), "unit": "", **of_texts}
    return {**{name: getattr(number, name) for name in named}, **measured}


def _axis(number: Published) -> str:
    """The column that names the arms."""
    return "setting" if isinstance(number, OnTexts) else "regime"


def _value_rows(number: Value, arms: Mapping[str, Arm]) -> list[dict[str, Any]]:
    ((name, arm),) = arms.items()
    interval, why = interval_of(arm.design, arm.once, usable=not (arm.problem or arm.failed))
    low = high = math.nan
    if number.statistic == "mean" and arm.design == "joint":
        low, high = prediction_interval(interval, number.spread, number.n)
        low, high = low - number.rounding, high + number.rounding
    verdict = UNDECIDED
    if not math.isnan(low):
        verdict = AGREES if low <= number.value <= high else DISAGREES
    published = {"published": number.value, "spread": number.spread, "published_n": number.n}
    own = {**_ours(interval, arm), "prediction_low": low, "prediction_high": high}
    notes = [_value_note(number, name, arm, interval), why, arm.note, number.note]
    shown = {"kind": "value", _axis(number): name, "statistic": number.statistic}
    return [{**shown, **published, **own, "verdict": verdict, "note": "; ".join(filter(None, notes))}]


def _value_note(number: Value, name: str, arm: Arm, ours: Interval) -> str:
    if arm.problem:
        return arm.problem
    if arm.failed:
        return lost({name: arm})
    if number.statistic == "best":
        return f"published: the best of {number.n} runs; a mean is not compared with it"
    if arm.design != "joint":
        return f"{arm.design} design: its runs share levels, so that no prediction interval is known"
    return few(ours)


def _ours(interval: Interval, arm: Arm) -> dict[str, Any]:
    named = {"n": interval.n, "mean": interval.mean, "sd": interval.sd}
    return {**named, "ci_low": interval.low, "ci_high": interval.high, "failed": arm.failed, "missing": arm.missing}


def _ordering_rows(number: Published, arms: Mapping[str, Arm]) -> list[dict[str, Any]]:
    margin = number.margin if isinstance(number, Ordering) else 0.0
    steps = [_step(a, b, arms, _axis(number), margin) for a, b in pairwise(arms)]
    found = [step["verdict"].split(" ")[0] for step in steps]
    verdict = UNDECIDED
    if BELOW in found:
        verdict = DISAGREES
    elif set(found) == {ABOVE}:
        verdict = AGREES
    problems = [*dict.fromkeys(arm.problem for arm in arms.values() if arm.problem), lost(arms)]
    problems += [*dict.fromkeys(arm.note for arm in arms.values()), number.note]
    head = {
        "kind": "ordering",
        _axis(number): " < ".join(arms),
        "n": min(step["n"] for step in steps),
        "verdict": verdict,
        "failed": sum(arm.failed for arm in arms.values()),
        "missing": sum(arm.missing for arm in arms.values()),
        "note": "; ".join(filter(None, problems)),
    }
    return [head, *steps]


def _step(low: str, high: str, arms: Mapping[str, Arm], axis: str, margin: float) -> dict[str, Any]:
    """The paired difference of two neighbours of an order."""
    a, b = arms[low], arms[high]
    usable = not (a.problem or b.problem or a.failed or b.failed)
    common = [(a.runs[r], b.runs[r]) for r in sorted(set(a.runs) & set(b.runs))]
    pairs = {(one.uid, two.uid): Run("", one.levels, two.value - one.value) for one, two in common}
    ours, note = interval_of(a.design, list(pairs.values()), usable=usable)
    verdict = OPEN
    if not math.isnan(ours.low) and not ours.low <= margin <= ours.high:
        verdict = f"{ABOVE if ours.low > margin else BELOW} {margin:g}"
    both = Arm(a.design, {}, a.failed + b.failed, a.missing + b.missing)
    own = {"kind": "difference", axis: f"{high} - {low}", **_ours(ours, both), "verdict": verdict}
    short = few(ours) if usable and a.design == "joint" else ""
    return {**own, "note": "; ".join(filter(None, [short, note]))}
