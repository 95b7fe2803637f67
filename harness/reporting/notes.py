"""Footnotes: what a reader must know to read a table rightly. Only what the table at hand needs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

FEW = 5

UNITS = {
    "loss": "loss: cross-entropy in nats, per example in classification and per token in language modelling.",
    "accuracy": "accuracy: fraction of examples, from 0 to 1.",
    "perplexity": "perplexity: exp of the mean negative log-likelihood per token (no unit).",
}
_INTERVAL = (
    "95 % CI: Student's t over training replicates. Means and bounds are rounded to two significant digits of the"
    " interval's half-width; the CSV holds every digit. n/a: not known, or nothing to compare with."
)


def footnotes(name: str, table: pd.DataFrame, reference: str, notes: Sequence[str]) -> list[str]:
    """The footnotes of one report table; `notes` are the tasks' own."""
    if name == "cells":
        return ["status: done and diverged are results; error is tried again by the next run; missing never ran."]
    specific = _generalization(table, reference) if name == "generalization" else _generation(table)
    named = [text for metric, text in UNITS.items() if metric in set(table["metric"])]
    return [*specific, _INTERVAL, *_few(table), *_lost(table), *named, *notes]


def _generalization(table: pd.DataFrame, reference: str) -> list[str]:
    lines = [
        "n: training replicates with a value; identical-seed repeats are left out.",
        "gap to train: mean over the cells of value(split) - value(train) of the same cell.",
        f"difference: regime minus {reference}, paired by training replicate; pairs: their number, r: their"
        " correlation (pairing sharpens the comparison only where r is high).",
    ]
    mixed = table[table["environments"] > 1]
    if len(mixed):
        lines.append(
            f"Mixed environments within an arm: {_names(mixed)}. Its cells ran on different software or hardware."
        )
    across = table[table["pairs_across_environments"] > 0]
    if len(across):
        lines.append(f"Pairs across environments: {_names(across)}. The difference includes that of the environments.")
    return lines


def _generation(table: pd.DataFrame) -> list[str]:
    return [
        *_greedy(table),
        "n training: training replicates, the unit of the interval: the texts of one checkpoint are averaged first,"
        " over prompts and inference replicates.",
        "unit: what one value belongs to: a text; a prompt (across the inference replicates of that prompt); a set"
        " (all texts of one inference replicate).",
        "undefined: values that do not exist, for example because a text is too short; they are left out.",
    ]


def _greedy(table: pd.DataFrame) -> list[str]:
    across = set(table.loc[table["unit"] == "prompt", "top_k"])
    if "1" in across or not across or "1" not in set(table["top_k"]):
        return []
    return [
        "k = 1 is greedy: all replicates of a prompt are one text, so diversity across replicates is zero by"
        " construction and has no row."
    ]


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
