"""The table `claims`: every hypothesis of harness/analysis/hypotheses.py, judged for every task and model of a grid.

A verdict is of this task, model and grid; it says nothing of others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from harness.analysis.claims_of_construction import dropout_off, top_k_untouched
from harness.analysis.claims_of_speed import dynamic_faster
from harness.analysis.claims_of_texts import diversity_small, greedy_loops, interaction_small
from harness.analysis.claims_of_training import (
    generalises,
    heads_spread,
    helps_by_fit,
    helps_more_when_scarce,
    helps_when_scarce,
    weight_decay_close,
)
from harness.analysis.evidence import Problem
from harness.analysis.findings import Finding
from harness.analysis.hypotheses import HYPOTHESES, MOST_FAILED, NOT_APPLICABLE, UNDECIDED, Hypothesis
from harness.analysis.multiplicity import holm
from harness.analysis.order import ordered
from harness.analysis.study import Study
from harness.analysis.verdicts import MOST, Evidence, Part, Sample, more_replicates, verdict, weigh

COLUMNS = [
    "claim", "statement", "task", "model", "kind", "metric", "estimate", "ci_low", "ci_high", "margin", "p",
    "p_adjusted", "verdict", "n", "more_replicates", "what", "note", "split", "regime", "reference",
]  # fmt: skip
EVALUATORS: dict[str, Callable[[Problem, Hypothesis], Iterator[Finding]]] = {
    "dropout-generalises": generalises,
    "diversity-small": diversity_small,
    "interaction-small": interaction_small,
    "greedy-loops": greedy_loops,
    "early-underfitting": helps_by_fit,
    "late-overfitting": helps_by_fit,
    "dynamic-faster": dynamic_faster,
    "residual-scarce": helps_when_scarce,
    "residual-scarcer": helps_more_when_scarce,
    "weight-decay-close": weight_decay_close,
    "heads-spread": heads_spread,
    "dropout-off": dropout_off,
    "top-k-untouched": top_k_untouched,
}


def claims(study: Study) -> pd.DataFrame:
    """At least one row per claim, task and model; `not applicable` with a reason where the grid has not what it needs.

    `estimate` with its 95 % interval is the mean over training replicates (pairs of runs) of what `what` says, in the
    metric's unit; of texts it is over replicates and prompts (harness.analysis.prompt_means), of scores over
    replicates alone: it is valid for that test set. Of a claim with several parts the part that decides is shown. `p`
    is two-sided, of the mean lying on the side of the margin where it lies; `p_adjusted` is Holm's over all rows of a
    task and model; `more_replicates` how many more would decide it (NaN: decided, or not known); the rest:
    `Hypothesis`, `Part`.

    Args:
        study: its table `regimes` says of which kind the regimes are.
    """
    problems = dict.fromkeys((block.task, block.model) for block in study.runs)
    rows: list[dict[str, Any]] = []
    for task, model in problems:
        rows += _rows(Problem(study, task, model, _kinds(study)))
    if not problems:
        nothing = Finding(verdict=NOT_APPLICABLE, note="no run is finished")
        rows = [_named(claim, "", "") | _untested(nothing) for claim in HYPOTHESES]
    return ordered(pd.DataFrame(rows, columns=COLUMNS), ["task", "model"], study.regimes)


def _kinds(study: Study) -> dict[str, str]:
    table = study.tables.get("regimes")
    if table is None or table.empty:
        return {}
    return dict(zip(table["regime"].astype(str), table["kind"].astype(str), strict=True))


def _rows(problem: Problem) -> list[dict[str, Any]]:
    """All claims of one task and model: one family."""
    found = [(claim, finding) for claim in HYPOTHESES for finding in EVALUATORS[claim.id](problem, claim)]
    weighed = [
        weigh(finding.parts, finding.sample) if finding.parts and finding.sample else None for _, finding in found
    ]
    adjusted, factors = holm([math.nan if one is None else one.p for one in weighed])
    return [
        _named(claim, problem.task, problem.model)
        | (_untested(finding) if evidence is None else _tested(finding, evidence, float(p), int(factor)))
        for (claim, finding), evidence, p, factor in zip(found, weighed, adjusted, factors, strict=True)
    ]


def _named(claim: Hypothesis, task: str, model: str) -> dict[str, Any]:
    return {"claim": claim.id, "statement": claim.statement, "kind": claim.kind, "task": task, "model": model}


def _untested(finding: Finding) -> dict[str, Any]:
    blank = dict.fromkeys(("ci_low", "ci_high", "margin", "p", "p_adjusted", "more_replicates"), math.nan)
    names = {"metric": finding.metric, "split": finding.split, "regime": finding.regime, "reference": finding.reference}
    told = {"verdict": finding.verdict, "n": finding.n, "what": "", "note": finding.note}
    return {**names, **blank, **told, "estimate": finding.estimate}


def _tested(finding: Finding, evidence: Evidence, p_adjusted: float, factor: int) -> dict[str, Any]:
    survivors = finding.failed > MOST_FAILED
    found = UNDECIDED if survivors else verdict(evidence, p_adjusted)
    more = more_replicates(evidence, factor) if found == UNDECIDED and not survivors else math.nan
    few = f"more than {MOST_FAILED:.0%} of an arm's runs failed: of survivors nothing is concluded" if survivors else ""
    many = f"more than {MOST} more replicates would be needed" if math.isinf(more) else ""
    assert finding.sample is not None
    notes = [finding.note, *_other_parts(finding.parts, evidence.shown, finding.sample), evidence.note, many, few]
    return {
        **_untested(finding),
        "estimate": evidence.effect.mean,
        "ci_low": evidence.effect.low,
        "ci_high": evidence.effect.high,
        "margin": evidence.margin,
        "p": evidence.p,
        "p_adjusted": p_adjusted,
        "verdict": found,
        "n": evidence.effect.n,
        "more_replicates": math.nan if math.isinf(more) else more,
        "what": evidence.shown.what,
        "note": "; ".join(filter(None, notes)),
    }


def _other_parts(parts: Sequence[Part], shown: Part, sample: Sample) -> list[str]:
    """The other half of a claim of two, in numbers; of more parts the note names the arms."""
    if len(parts) != 2:
        return []
    other = next(part for part in parts if part.what != shown.what)
    found, _ = sample.interval(other.effect)
    bounds = "" if math.isnan(found.low) else f" [{found.low:.3g}, {found.high:.3g}]"
    return [f"also {other.what}: {found.mean:.3g}{bounds}"]
