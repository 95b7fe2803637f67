"""What holds because of how training and sampling work: checks in the data, not findings."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from harness.analysis.evidence import Problem
from harness.analysis.findings import Finding, not_applicable
from harness.analysis.hypotheses import NOT_SUPPORTED, SUPPORTED, UNDECIDED, Hypothesis
from harness.analysis.noise_floor import noise_floor

ELSEWHERE = "a user's own scores: how the runs were made is not known"
_REPEATED = ("training", "repeated_texts")


def _of(problem: Problem, table: pd.DataFrame) -> pd.DataFrame:
    """The rows of this task and model."""
    return table if table.empty else table[(table["task"] == problem.task) & (table["model"] == problem.model)]


def _elsewhere(problem: Problem) -> bool:
    """Whether these are a user's own scores, of runs that twodice has not made (their forward passes are not known)."""
    mine = _of(problem, problem.study.tables["training"])
    return "forwards" in mine and bool(mine["forwards"].isna().all())


def dropout_off(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """Identical-seed repeats of this task and model give the same scores and texts.

    A difference would not prove that dropout is on (machines differ, too), so it leaves the check undecided.
    """
    if _elsewhere(problem):
        yield not_applicable(ELSEWHERE)
        return
    tables = {name: _of(problem, table) for name, table in problem.study.tables.items() if name in _REPEATED}
    cells = problem.study.tables["cells"]
    mine = noise_floor(
        tables["training"],
        cells[cells["kind"] == "training"],
        regimes=problem.study.regimes,
        texts=tables.get("repeated_texts"),
    )
    mine = mine[(mine["task"] == problem.task) & (mine["model"] == problem.model)]
    differences = [float(x) for x in (*mine["largest_difference"], *mine["differing_texts"]) if not math.isnan(x)]
    if not differences:
        yield not_applicable("no identical-seed repeat of this model was run; every run asserts it for itself")
        return
    largest, repeats = max(differences), int(mine["repeats"].max())
    texts = int(mine["texts"].sum())
    note = f"{repeats} identical-seed repeats, every score{f' and {texts} texts' if texts else ''} compared"
    if largest > 0.0:
        note += f"; they differ by up to {largest:.3g}, which dropout or the machine may cause: see noise_floor"
    verdict = UNDECIDED if largest > 0.0 else SUPPORTED
    yield Finding(metric="all", verdict=verdict, note=note, estimate=largest, n=repeats)


def top_k_untouched(problem: Problem, claim: Hypothesis) -> Iterator[Finding]:
    """Every checkpoint that texts were sampled from has one value of every score."""
    sampled, settings = problem.sampled()
    if _elsewhere(problem):
        yield not_applicable(ELSEWHERE)
        return
    if not sampled:
        yield not_applicable("no texts")
        return
    training = problem.study.tables["training"]
    values = training[training["uid"].isin(sampled)].groupby(["uid", "split", "metric"])["value"]
    spread = float(np.nanmax(values.max() - values.min(), initial=0.0))
    note = f"{len(sampled)} checkpoints, {len({setting[0] for setting in settings})} k: one value of each score"
    verdict = NOT_SUPPORTED if spread > 0.0 else SUPPORTED
    yield Finding(metric="all", verdict=verdict, note=note, estimate=spread, n=len(sampled))
