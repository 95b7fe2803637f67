"""Footnotes: what a reader must know to read a table rightly. Only what the table at hand needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from harness.reporting.claims import claims_footnotes
from harness.reporting.contrasts import comparisons_footnotes, contrasts_footnotes
from harness.reporting.effects import effects_footnotes, seeds_footnotes
from harness.reporting.generation import generation_footnotes
from harness.reporting.published import published_footnotes
from harness.reporting.randomness import randomness_footnotes
from harness.reporting.roles import noise_floor_footnotes, roles_footnotes
from harness.store.curves import STEPS_TO_LOSS

FEW = 5

UNITS = {
    "loss": "loss: cross-entropy in nats, per example in classification and per token in language modelling.",
    "accuracy": "accuracy: fraction of examples, from 0 to 1.",
    "perplexity": "perplexity: exp of the mean negative log-likelihood per token (no unit).",
}
_ROUNDED = (
    "Means and bounds are rounded to two significant digits of the interval's half-width; the CSV holds every digit."
    " n/a: not known, or nothing to compare with."
)
_JOINT = "95 % CI: Student's t over training replicates, given this split's examples."
_JOINT_TEXTS = (
    "95 % CI: over training replicates and prompts, both drawn anew: the variance of the mean is (MS_T + MS_P - MS_TP)"
    " / (R P) of the means over inference replicates, with Satterthwaite's degrees of freedom (1946, Biometrics"
    " Bulletin 2:110), and never narrower than what the fewer of replicates and prompts give alone. Of a set metric:"
    " Student's t over training replicates, given these prompts and inference replicates. A prompt counts where every"
    " replicate has a value of it."
)
_CROSSED = (
    "95 % CI (crossed design): runs that share a level are not independent, so the variance of the grand mean is the"
    " sum, with alternating signs, of the mean squares of the roles and their interactions over the number of runs,"
    " with Satterthwaite's degrees of freedom, and never narrower than what one role alone gives (but the one"
    " with the most levels). It speaks of new levels of the roles that vary (and of texts: new prompts), with the"
    " others at level 0; few levels make it wide: read the interval, not the mean. sd: of the runs as they are. An"
    " incomplete design has no interval."
)
_ISOLATED = (
    "No interval (isolated design): every run has all roles but one at level 0, so how far these means lie from those"
    " of other levels is not in the data. Table roles shows each role's own variance. A run that several replicates"
    " share counts once in a mean, and once a pair in a difference."
)

_ROOF: dict[str, Callable[[pd.DataFrame], list[str]]] = {
    "randomness": randomness_footnotes,
    "contrasts": contrasts_footnotes,
    "comparisons": comparisons_footnotes,
    "effects": effects_footnotes,
    "seeds": seeds_footnotes,
    "claims": claims_footnotes,
}


def footnotes(name: str, table: pd.DataFrame, reference: str, notes: Sequence[str]) -> list[str]:
    """The footnotes of one report table; `notes` are the tasks' own."""
    if name == "cells":
        return ["status: done and diverged are results; error is tried again by the next run; missing never ran."]
    if name == "published":
        return [*published_footnotes(table), *_lost(table)]
    if name == "noise_floor":
        return [*noise_floor_footnotes(table), *notes]
    if name in _ROOF:
        return [*_ROOF[name](table), *notes]
    named = [text for metric, text in UNITS.items() if metric in set(table["metric"])]
    if name == "roles":
        return [*roles_footnotes(table), *named, *notes]
    specific = _generalization(table, reference) if name == "generalization" else generation_footnotes(table)
    joint = _JOINT if name == "generalization" else _JOINT_TEXTS
    return [*specific, *_intervals(table, joint), _ROUNDED, *_few(table), *_lost(table), *named, *notes]


def _intervals(table: pd.DataFrame, joint: str) -> list[str]:
    """How the intervals of this table's design were made."""
    designs = set(table["design"].str.split(" ").str[0]) if len(table) else set()
    if "isolated" in designs:
        return [_ISOLATED]
    if "crossed" not in designs:
        return [joint]
    factors = sorted({design.removeprefix("crossed").strip() for design in table["design"]} - {""})
    return [_CROSSED, *([f"Roles and their levels, by arm: {'; '.join(factors)}."] if factors else [])]


def _generalization(table: pd.DataFrame, reference: str) -> list[str]:
    lines = [
        "n: training replicates with a value; identical-seed repeats are left out.",
        "gap to train: mean over the cells of value(split) - value(train) of the same cell.",
        f"difference: regime minus {reference}, paired by training replicate; pairs: their number, r: their"
        " correlation (pairing sharpens the comparison only where r is high). Table contrasts has the same difference"
        " over new examples, too.",
        "adjusted p: paired t, Holm's correction over the regimes of one task, model, split and metric. P(better):"
        " share of pairs in which the regime wins (of a metric without a direction: is larger), with its exact"
        " interval.",
    ]
    if (table["failure_rate"] > 0).any():
        lines.append("failure rate: runs that diverged among those that came to an end, with its exact interval.")
    if (table["cost"] > 1).any():
        lines.append("cost: forward passes of the model that an example costs in one training step.")
    lines += _looked_at(table)
    mixed = table[table["environments"] > 1]
    if len(mixed):
        lines.append(
            f"Mixed environments within an arm: {_names(mixed)}. Its cells ran on different software or hardware."
        )
    across = table[table["pairs_across_environments"] > 0]
    if len(across):
        lines.append(f"Pairs across environments: {_names(across)}. The difference includes that of the environments.")
    return lines


def _looked_at(table: pd.DataFrame) -> list[str]:
    """What metrics of the learning curve are."""
    lines, metrics = [], set(table["metric"])
    if any(metric.startswith(STEPS_TO_LOSS) for metric in metrics):
        lines.append(
            f"{STEPS_TO_LOSS}X: optimiser steps until the first evaluation at which the validation loss is at most X."
            " undefined: runs that never reached it. n, mean, CI, difference and pairs are of the runs that did: where"
            " any is undefined, the mean is too low and arms cannot be compared by it."
        )
    if "best-random-loss" in metrics:
        lines.append(
            "random-loss, best-random-loss: mean loss over windows drawn at random from the validation stream, at the"
            " last evaluation and at its lowest; a minimum over noisy values is too low. They decide nothing."
        )
    return lines


def _few(table: pd.DataFrame) -> list[str]:
    column = "n" if "n" in table.columns else "n_training"
    if table.empty or int(table[column].min()) >= FEW:
        return []
    return [f"fewer than {FEW} training replicates: read the interval, not the mean."]


def _lost(table: pd.DataFrame) -> list[str]:
    lines = []
    if (table["failed"] > 0).any():
        lines.append("failed: diverged or in error, left out of the mean, which then speaks of the survivors only.")
    if (table["missing"] > 0).any():
        lines.append("missing: cells that have not run or were skipped; this report is of an unfinished grid.")
    return lines


def _names(table: pd.DataFrame) -> str:
    arms = table[["task", "model", "regime"]].drop_duplicates()
    return ", ".join(" / ".join(map(str, arm)) for arm in arms.itertuples(index=False, name=None))
