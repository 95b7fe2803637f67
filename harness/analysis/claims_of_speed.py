"""The claim about speed: how many steps it takes until a loss is reached, counting the runs that never reach it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from harness.analysis.evidence import Curve, Problem
from harness.analysis.findings import Finding, compared, lacking_arms, not_applicable
from harness.analysis.hypotheses import UNDECIDED, Hypothesis
from harness.analysis.verdicts import above
from harness.regimes.kinds import NONE, STATIC
from harness.store.curves import STEPS_TO_LOSS

# Runs that never arrive all count as `end`: a few of them look alike by that alone, and a t test would trust them.
FEWEST = 5


def dynamic_faster(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """Every dynamic arm against a fixed-rate one, at every loss that the grid asks for."""
    targets = [metric for metric in problem.metrics("validation") if metric.startswith(STEPS_TO_LOSS)]
    lacking = lacking_arms(problem, claim.arms) or lacking_arms(problem, (STATIC, NONE))
    if not targets:
        lacking = lacking or "the grid asks for no training.steps_to_loss"
    if lacking or not problem.curves:
        yield not_applicable(lacking or "the store has no learning curves")
        return
    for arm in problem.arms(claim.arms):
        for metric in sorted(targets, key=lambda name: -float(name.removeprefix(STEPS_TO_LOSS))):
            yield _finding(problem, arm, _fixed(problem, arm), metric)


def _fixed(problem: Problem, arm: str) -> str:
    """The fixed-rate arm that a dynamic one is compared with.

    The grid's reference where it is one, else the one whose rate is nearest to the highest of the dynamic arm (the
    first of several), else the arm without dropout.
    """
    fixed = problem.arms((STATIC,))
    if not fixed or problem.study.reference in fixed:
        return problem.study.reference if fixed else problem.without_dropout()
    table = problem.study.tables["regimes"]
    rates = dict(zip(table["regime"], table["highest_rate"], strict=True))
    return min(fixed, key=lambda name: _apart(rates[name], rates[arm]))


def _apart(one: float, other: float) -> float:
    return math.inf if math.isnan(one) or math.isnan(other) else round(abs(one - other), 12)


def _finding(problem: Problem, arm: str, reference: str, metric: str) -> Finding:
    target = float(metric.removeprefix(STEPS_TO_LOSS))
    end = max(_curve(problem, uid).end for name in (arm, reference) for uid in problem.uids(name).values())
    steps = {name: _steps(problem, name, target, end) for name in (arm, reference)}
    reached = {name: _reached(problem, name, target) for name in (arm, reference)}
    if not any(reached.values()):
        return not_applicable(f"no run of {arm} and {reference} reaches loss {target:g}", metric, arm)
    what = f"steps to validation loss {target:g} (at most {end:g}): {reference} - {arm}, above 0"
    note = "; ".join(f"{name}: reached by {reached[name]} of {len(steps[name])}" for name in (arm, reference))
    missed = sum(len(steps[name]) - reached[name] for name in (arm, reference))
    if missed and len(problem.sample([arm, reference]).levels) < FEWEST:
        few = f"with runs that never reach it, fewer than {FEWEST} pairs decide nothing"
        return Finding(metric, "validation", arm, reference, verdict=UNDECIDED, note=f"{note}; {few}")
    parts = [above(what, steps[reference] - steps[arm])]
    return compared(problem, arm, reference, metric, parts, split="validation", note=note)


def _curve(problem: Problem, uid: str) -> Curve:
    return problem.curves.get(uid, Curve([], [], 0.0))


def _reached(problem: Problem, arm: str, target: float) -> int:
    return sum(min(_curve(problem, uid).losses, default=math.inf) <= target for uid in problem.uids(arm).values())


def _steps(problem: Problem, arm: str, target: float, end: float) -> pd.Series:
    """By replicate the steps until the target, or `end` where it is never reached; NaN without a curve.

    The restricted mean of Royston and Parmar (2013, BMC Medical Research Methodology 13:152): a mean over the runs
    that arrive would reward the arm whose slow runs never do.
    """
    curves = {place: _curve(problem, uid) for place, uid in problem.uids(arm).items()}
    steps = {place: crossing(curve.steps, curve.losses, target, end) for place, curve in curves.items()}
    return pd.Series(steps, dtype=float)


def crossing(steps: Sequence[float], losses: Sequence[float], target: float, end: float) -> float:
    """The step at which a curve, straight between evaluations, first comes down to the target; `end` if it never does.

    Between evaluations because whole ones are coarse: replicates that agree by rounding would show no spread.
    """
    if not losses:
        return math.nan
    place = next((at for at, loss in enumerate(losses) if loss <= target), None)
    if place is None:
        return end
    if place == 0:
        return steps[0]
    fall = losses[place - 1] - losses[place]
    return steps[place - 1] + (steps[place] - steps[place - 1]) * (losses[place - 1] - target) / fall
