"""Claims about generated texts: what dropout and what top-k do to diversity and repetition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from harness.analysis.blocks import Setting
from harness.analysis.evidence import Problem
from harness.analysis.findings import Finding, lacking_arms, not_applicable, noted
from harness.analysis.hypotheses import Hypothesis
from harness.analysis.settings import ALL, GREEDY, setting_name
from harness.analysis.verdicts import Part, above, within
from harness.regimes.kinds import NONE


def diversity_small(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """The mean over all k of dropout against none, beside the difference between the largest and the smallest k."""
    yield from _beside_k(problem, claim, interaction=False)


def interaction_small(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """How much more k does with dropout than without, beside what it does."""
    yield from _beside_k(problem, claim, interaction=True)


def _beside_k(problem: Problem, claim: Hypothesis, *, interaction: bool) -> Iterator[Finding]:
    """One row a metric: the claim is about every dropout arm, so the one that fits it worst decides."""
    none = problem.without_dropout()
    lacking = lacking_arms(problem, (NONE,)) or lacking_arms(problem, claim.arms)
    arms = [] if lacking else [arm for arm in problem.arms(claim.arms) if not problem.same_runs(arm, none)]
    if not arms:
        yield not_applicable(lacking or f"the runs of every dropout arm are those of {none} by construction")
        return
    found = False
    for metric in claim.metrics:
        settings = problem.settings(metric, [*arms, none])
        if len(settings) > 1:
            found = True
            parts = [_part(problem, metric, arm, none, settings, claim.margin, interaction) for arm in arms]
            about = [*arms, none]
            note = noted(problem, about, *([f"all of {', '.join(arms)}"] if len(arms) > 1 else []))
            sample = problem.sample(about)
            one = arms[0] if len(arms) == 1 else ""
            lost = problem.failed_share(about)
            yield Finding(metric, "", one, none, tuple(parts), sample, note=note, failed=lost)
    if not found:
        yield not_applicable(f"no texts at two or more k of {' or '.join(claim.metrics)}")


def _part(
    problem: Problem, metric: str, arm: str, none: str, settings: Sequence[Setting], share: float, interaction: bool
) -> Part:
    """|effect of dropout| within a share of what k does, on the mean of the two arms."""
    mine, theirs = ([problem.text_means(metric, name, setting) for setting in settings] for name in (arm, none))
    by_k = (mine[-1] - mine[0] + theirs[-1] - theirs[0]) / 2.0
    # The direction of k's effect is read off the data: that doubles p, which two-sided p do anyway.
    margin = share * by_k * (1.0 if np.nansum(by_k) >= 0.0 else -1.0)
    ends = f"{setting_name(*settings[-1])} - {setting_name(*settings[0])}"
    if interaction:
        effect, what = (mine[-1] - mine[0]) - (theirs[-1] - theirs[0]), f"({ends}) of {arm} - of {none}"
    else:
        effect, what = (_mean(mine) - _mean(theirs)), f"mean over {len(settings)} k of {arm} - {none}"
    return within(f"{what}, within +-{share:g} of |{ends}|", effect, margin)


def _mean(columns: Sequence[pd.DataFrame]) -> pd.DataFrame:
    total = columns[0]
    for column in columns[1:]:
        total = total + column
    return total / len(columns)


def greedy_loops(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """Greedy texts repeat more than sampled ones, which have less than half of it left."""
    arm = problem.without_dropout() or problem.study.reference
    found = False
    for metric in claim.metrics:
        settings = problem.settings(metric, [arm])
        sampled = _sampled(settings)
        if sampled is None or settings[0][0] != GREEDY:
            continue
        found = True
        greedy, after = (problem.text_means(metric, arm, setting) for setting in (settings[0], sampled))
        names = f"{setting_name(*settings[0])} - {setting_name(*sampled)}"
        parts = (
            above(f"{metric}: {names}, above margin", greedy - after, claim.margin),
            above(f"{metric}: half of k=1 - {setting_name(*sampled)}, above 0", greedy / 2.0 - after),
        )
        note = noted(problem, [arm], f"arm {arm}")
        lost = problem.failed_share([arm])
        yield Finding(metric, "", arm, arm, parts, problem.sample([arm]), note=note, failed=lost)
    if not found:
        yield not_applicable(f"no texts of {arm} at k = 1 and at a larger k")


def _sampled(settings: Sequence[Setting]) -> Setting | None:
    """The largest finite k, else the whole vocabulary; None where there is only greedy decoding."""
    drawn = [setting for setting in settings if setting[0] != GREEDY]
    return next((setting for setting in reversed(drawn) if setting[0] != ALL), drawn[-1] if drawn else None)
