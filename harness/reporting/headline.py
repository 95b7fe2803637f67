"""The headline metrics: what readable tables, figures and the summary show. The CSV of a table holds every metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.settings import setting_name

# Of a split: how well the model does. The first that a task has beside the loss is its main metric.
MAIN = ("accuracy", "matthews", "f1", "perplexity")
TRAINING = ("loss", *MAIN, "ece")
# Of texts: how they differ from each other, how they repeat themselves, how good they are.
DIVERSITY = ("replicate-distinctness", "distinct-2", "self-bleu-4")
REPETITION = ("seq-rep-4", "repetition-loop")
TEXTS = (*DIVERSITY, *REPETITION, "nll", "grammatical", "length", "mauve")
OF_RUNS = ("split", "example", "")
TEST = "test"
TRAINED_ON = ("train", "validation")
_FEW_ROWS = 100


def is_headline(table: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are of a headline metric: of a split where the unit is a run's, of texts elsewhere."""
    of_runs = table["unit"].isin(OF_RUNS) if "unit" in table.columns else pd.Series(True, index=table.index)
    return (of_runs & table["metric"].isin(TRAINING)) | (~of_runs & table["metric"].isin(TEXTS))


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that a readable form shows: headline metrics, in their order; all rows of a short table.

    A task and model without any headline metric (a user's own scores) keeps all its rows.
    """
    if len(table) <= _FEW_ROWS:
        return table
    chosen = is_headline(table)
    none = ~chosen.groupby([table["task"], table["model"]]).transform("any").astype(bool)
    return table[chosen | none]


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """The rows by which generalisation is judged: of the split `test` where a task and model has one, else of all
    splits that it was not trained on.
    """
    rows = table[table["unit"].isin(OF_RUNS) & ~table["split"].isin(TRAINED_ON)]
    test = rows["split"] == TEST
    tested = test.groupby([rows["task"], rows["model"]]).transform("any").astype(bool)
    return rows[test | ~tested]


def metric_rank(metric: str) -> int:
    """The place of a metric in figures: in the order of this list, others after it."""
    names = (*TRAINING, *TEXTS)
    return names.index(metric) if metric in names else len(names)


def not_shown(table: pd.DataFrame) -> list[str]:
    """The footnote of a table that shows its headline metrics only."""
    shown = headline(table)
    if len(shown) == len(table):
        return []
    left = sorted(set(_names(table)) - set(_names(shown)))
    return [f"Headline metrics only. The CSV holds all {len(table)} rows; not shown: {', '.join(left)}."]


def _names(table: pd.DataFrame) -> pd.Series[str]:
    """A metric with its unit: `perplexity` of a split is not that of a text."""
    named = table["metric"].astype(str)
    return named if "unit" not in table.columns else named + " (" + table["unit"].astype(str) + ")"


def main_metrics(metrics: Sequence[str]) -> list[str]:
    """The loss and the task's main metric, as far as they are there."""
    return [name for name in ("loss", *[m for m in MAIN if m in metrics][:1]) if name in metrics]


def setting_text(row: dict[Any, Any]) -> str:
    """A row's decoding setting as people read it; empty for a metric that has none."""
    if pd.isna(row["top_k"]) or row["top_k"] == "":
        return ""
    return setting_name(str(row["top_k"]), float(row["temperature"]), float(row["top_p"]), float(row["min_p"]))
