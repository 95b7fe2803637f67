"""Claims about scores: generalisation, fit, scarce data, weight decay and attention heads."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from harness.analysis.evidence import Problem
from harness.analysis.findings import Finding, by_arm, compared, lacking_arms, not_applicable
from harness.analysis.hypotheses import FIT, HIGHER_IS_BETTER, TEST, TRAIN, UNDECIDED, Hypothesis
from harness.analysis.intervals import Interval
from harness.analysis.order import task_rank
from harness.analysis.verdicts import Part, above, not_below, within
from harness.regimes.kinds import EARLY, STATIC

LOSS = "loss"


def generalises(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """Test score not worse, and the gap to the training data smaller."""

    def judge(arm: str, reference: str) -> Iterator[Finding]:
        for metric in claim.metrics:
            if _scored(problem, metric, (arm, reference)):
                parts = _generalisation(problem, metric, arm, reference, claim.margin)
                yield compared(problem, arm, reference, metric, parts, split=TEST)
            elif metric == LOSS:
                yield not_applicable(f"no {metric} on {TRAIN} and {TEST}", metric, arm)

    yield from by_arm(problem, claim, judge)


def _scored(problem: Problem, metric: str, arms: Sequence[str]) -> bool:
    return not any(problem.score(split, metric, arm).empty for split in (TRAIN, TEST) for arm in arms)


def _generalisation(problem: Problem, metric: str, arm: str, reference: str, margin: float) -> list[Part]:
    sign = 1.0 if metric in HIGHER_IS_BETTER else -1.0
    mine, theirs = problem.score(TEST, metric, arm), problem.score(TEST, metric, reference)
    gap = sign * (problem.score(TRAIN, metric, arm) - mine)
    other_gap = sign * (problem.score(TRAIN, metric, reference) - theirs)
    what = f"how much better {arm} is on {TEST} than {reference}, above -margin"
    return [
        not_below(what, sign * (mine - theirs), margin * theirs.abs()),
        above(f"gap to {TRAIN} of {reference} - {arm}, above 0", other_gap - gap),
    ]


def _gain(problem: Problem, arm: str, reference: str) -> pd.Series:
    """What an arm takes off the test loss."""
    return problem.score(TEST, LOSS, reference) - problem.score(TEST, LOSS, arm)


def helps_by_fit(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """Early dropout where the arm without dropout under-fits; late and standard dropout where it over-fits."""
    under = claim.arms == (EARLY,)

    def judge(arm: str, reference: str) -> Iterator[Finding]:
        if not _scored(problem, LOSS, (arm, reference)):
            yield not_applicable(f"no {LOSS} on {TRAIN} and {TEST}", LOSS, arm)
            return
        fit = fit_of(problem, reference)
        applies, what = (fit.under, "under-fits") if under else (fit.over, "over-fits")
        if applies is None:
            why = f"not clear whether {reference} {what}: {fit.why}"
            yield Finding(LOSS, TEST, arm, reference, verdict=UNDECIDED, note=why)
        elif applies:
            parts = [above(f"test loss of {reference} - {arm}, above 0", _gain(problem, arm, reference))]
            yield compared(problem, arm, reference, LOSS, parts, split=TEST, note=f"{reference} {what}: {fit.why}")
        else:
            yield not_applicable(f"{arm}: {reference} does not {what[:-1]} here: {fit.why}", LOSS, arm)

    yield from by_arm(problem, claim, judge)


class Fit(NamedTuple):
    """Whether a model under-fits and over-fits, None where the runs do not tell, and what that rests on."""

    under: bool | None
    over: bool | None
    why: str


def fit_of(problem: Problem, arm: str) -> Fit:
    """Under- or over-fitting by the rule FIT of harness/analysis/hypotheses.py, each bound with 95 % confidence."""
    test, train = problem.score(TEST, LOSS, arm), problem.score(TRAIN, LOSS, arm)
    sample = problem.sample([arm])
    gap = _bounded(sample.interval((test - train) / test)[0])
    # Without a validation curve nobody knows whether the loss rose: neither comparison below holds then.
    rise = _bounded(sample.interval(_rises(problem, arm))[0]) or Interval(0, *[math.nan] * 4)
    if gap is None:
        return Fit(None, None, "fewer than 2 runs, or no interval")
    why = f"gap to {TRAIN} {gap.mean:.1%} of the {TEST} loss"
    why += f", last validation loss {rise.mean:.1%} above its lowest" if rise.n else ", no validation curve"
    rose, stayed = rise.low > FIT["rise"], rise.high < FIT["rise"]
    return Fit(
        under=_told(gap.high < FIT["narrow_gap"] and stayed, gap.low > FIT["narrow_gap"] or rose),
        over=_told(gap.low > FIT["wide_gap"] or rose, gap.high < FIT["wide_gap"] and stayed),
        why=why,
    )


def _told(yes: bool, no: bool) -> bool | None:
    return True if yes else False if no else None


def _bounded(found: Interval) -> Interval | None:
    """An interval with bounds; runs that agree to the last digit bound themselves."""
    if found.n >= 2 and found.sd == 0.0:
        return Interval(found.n, found.mean, 0.0, found.mean, found.mean)
    return None if found.n < 2 or math.isnan(found.low) else found


def _rises(problem: Problem, arm: str) -> pd.Series:
    """(last - lowest) / lowest validation loss of every run; NaN where it was evaluated once or never."""
    curves = {place: problem.curves.get(uid) for place, uid in problem.uids(arm).items()}
    rises = {
        place: curve.losses[-1] / min(curve.losses) - 1.0 if curve and len(curve.losses) > 1 else math.nan
        for place, curve in curves.items()
    }
    return pd.Series(rises, dtype=float)


def helps_when_scarce(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """At the smallest size of the training set the test loss is lower."""
    yield from _scarce(problem, claim, None)


def helps_more_when_scarce(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """What is taken off the test loss at the smallest size is more than at the largest."""
    sizes = _sizes(problem)
    if len(sizes) < 2:
        yield not_applicable("the grid has one size of the training set")
        return
    yield from _scarce(problem, claim, Problem(problem.study, sizes[-1], problem.model, problem.kinds))


def _sizes(problem: Problem) -> list[str]:
    """The labels of this task that ran with this model, from the smallest training set to the largest."""
    name = _plain(problem.task)
    found = {one.task for one in problem.study.runs if one.model == problem.model and _plain(one.task) == name}
    return sorted(found, key=task_rank)


def _plain(label: str) -> str:
    """The task without its size: sst2 of sst2@100."""
    name, _, size = label.rpartition("@")
    return name if name and size.isdecimal() else label


def _scarce(problem: Problem, claim: Hypothesis, largest: Problem | None) -> Iterator[Finding]:
    smallest = _sizes(problem)[0]
    if problem.task != smallest or _plain(smallest) == smallest:
        small = f"judged at {smallest}" if _plain(smallest) != smallest else "the grid has no train_size"
        yield not_applicable(f"data is not scarce here: {small}")
        return

    def judge(arm: str, reference: str) -> Iterator[Finding]:
        gain, what = _gain(problem, arm, reference), f"test loss of {reference} - {arm}"
        if largest is None:
            yield compared(problem, arm, reference, LOSS, [above(f"{what}, above 0", gain)], split=TEST)
        elif {arm, reference} <= set(largest.arms((*claim.arms, claim.against))):
            more = gain - _gain(largest, arm, reference)
            parts = [above(f"{what}: at {problem.task} - at {largest.task}, above 0", more)]
            yield compared(problem, arm, reference, LOSS, parts, split=TEST)
        else:
            yield not_applicable(f"no finished run of {arm} and {reference} at {largest.task}", LOSS, arm)

    yield from by_arm(problem, claim, judge)


def weight_decay_close(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """No dropout with weight decay against the fixed-rate arm that validates best: alike within the margin."""
    lacking = lacking_arms(problem, claim.arms) or lacking_arms(problem, (STATIC,))
    if lacking:
        yield not_applicable(lacking)
        return
    best = _validates_best(problem, problem.arms((STATIC,)))
    for arm in problem.arms(claim.arms):
        theirs = problem.score(TEST, LOSS, best)
        what = f"test loss of {arm} - {best}, within +-margin"
        parts = [within(what, problem.score(TEST, LOSS, arm) - theirs, claim.margin * theirs.abs())]
        yield compared(problem, arm, best, LOSS, parts, split=TEST, note=_beside_none(problem, best, theirs))


def _validates_best(problem: Problem, arms: Sequence[str]) -> str:
    """The arm with the lowest mean validation loss; the test loss must not choose what it is then compared with."""
    means = {arm: list(problem.score("validation", LOSS, arm).dropna()) for arm in arms}
    return min(arms, key=lambda arm: statistics.fmean(means[arm]) if means[arm] else math.inf)


def _beside_none(problem: Problem, best: str, theirs: pd.Series) -> str:
    """Where dropout itself stands: being close to it means little where no dropout at all is as close."""
    none = problem.without_dropout()
    if not none:
        return ""
    apart = (problem.score(TEST, LOSS, none) - theirs).dropna()
    return f"{none} itself - {best}: {statistics.fmean(apart):+.3g}" if len(apart) else ""


def heads_spread(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """Head diversity and attention entropy are higher than without dropout."""
    known = [metric for metric in claim.metrics if problem.splits_of(metric)]
    if not known:
        yield not_applicable("the grid has no attention diagnostics (training.diagnostics)")
        return

    def judge(arm: str, reference: str) -> Iterator[Finding]:
        for metric in known:
            split = problem.splits_of(metric)[0]
            more = problem.score(split, metric, arm) - problem.score(split, metric, reference)
            parts = [above(f"{metric} of {arm} - {reference}, above 0", more)]
            yield compared(problem, arm, reference, metric, parts, split=split)

    yield from by_arm(problem, claim, judge)
