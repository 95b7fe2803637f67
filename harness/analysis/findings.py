"""What judging a claim on one task and model gives, before p values are adjusted: a row of the table `claims`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.evidence import Problem
from harness.analysis.hypotheses import NOT_APPLICABLE, Hypothesis
from harness.analysis.verdicts import Part, Sample
from harness.regimes.kinds import NONE


@dataclass(frozen=True)
class Finding:
    """One row.

    Attributes:
        metric, split, regime, reference: names; empty where the row is about none.
        parts: what must hold, all of it; empty where the claim was not tested.
        sample: the replicates that count.
        verdict: where the claim was not tested.
        note: what a reader must know; why it was not tested.
        estimate, margin: of a check by construction, which has no interval.
        n: runs or pairs, where no test counts them.
        failed: largest share of runs that failed in one of its arms.
    """

    metric: str = ""
    split: str = ""
    regime: str = ""
    reference: str = ""
    parts: tuple[Part, ...] = ()
    sample: Sample | None = None
    verdict: str = ""
    note: str = ""
    estimate: float = float("nan")
    n: int = 0
    failed: float = 0.0


Judge = Callable[[str, str], Iterable[Finding]]


def not_applicable(reason: str, metric: str = "", regime: str = "") -> Finding:
    """A row that says why the claim cannot be judged here."""
    return Finding(metric=metric, regime=regime, verdict=NOT_APPLICABLE, note=reason)


def compared(
    problem: Problem,
    regime: str,
    reference: str,
    metric: str,
    parts: Sequence[Part],
    *,
    split: str = "",
    note: str = "",
) -> Finding:
    """A row about one arm against another, over the replicates that both have."""
    if any(part.effect.empty for part in parts):
        return not_applicable(f"no {' '.join([split, metric]).strip()} of {regime} and {reference}", metric, regime)
    arms = [regime, reference]
    return Finding(
        metric, split, regime, reference, tuple(parts), problem.sample(arms), note=noted(problem, arms, note),
        failed=problem.failed_share(arms),
    )  # fmt: skip


def noted(problem: Problem, arms: Sequence[str], *notes: str) -> str:
    """The notes, and warnings: lost runs may not be lost by chance, and pairs should come from one environment."""
    across, lost = problem.across_environments(arms), problem.lost(arms)
    warnings = [f"{across} pairs across environments"] if across else []
    warnings += [f"{lost} replicates lack a run (diverged, failed or missing)"] if lost else []
    return "; ".join(filter(None, [*notes, *warnings]))


def by_arm(problem: Problem, claim: Hypothesis, judge: Judge) -> Iterator[Finding]:
    """The rows of every arm that a claim is about, or rows that say why there is none.

    Args:
        judge: gives the rows of an arm beside the arm without dropout.
    """
    reference = problem.without_dropout()
    lacking = lacking_arms(problem, (NONE,)) or lacking_arms(problem, claim.arms)
    if lacking:
        yield not_applicable(lacking)
        return
    for arm in problem.arms(claim.arms):
        if problem.same_runs(arm, reference):
            yield not_applicable(f"the runs of {arm} are those of {reference} by construction", regime=arm)
        else:
            yield from judge(arm, reference)


def lacking_arms(problem: Problem, kinds: Sequence[str]) -> str:
    """Why there is no arm of these kinds, or an empty string."""
    if problem.arms(kinds):
        return ""
    if not problem.kinds:
        return "the store does not say of which kind the regimes are"
    declared = [name for name in problem.study.regimes if problem.kinds.get(name) in kinds]
    if declared:
        return f"{', '.join(declared)}: no finished run here"
    return f"the grid has no arm of kind {' or '.join(kinds)}"
