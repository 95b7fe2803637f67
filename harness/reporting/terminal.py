"""The report in a terminal: what a person wants to see first."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.order import top_k_rank
from harness.reporting.numbers import plus_minus
from harness.reporting.published import published_view

# The metric shown beside the loss: the first of these that the task has.
MAIN = ("accuracy", "matthews", "f1", "perplexity")
GENERATION = ("replicate-distinctness", "distinct-2", "seq-rep-4", "perplexity")


def print_tables(built: Mapping[str, pd.DataFrame], console: Console) -> None:
    """Prints the test splits and the gap by regime, and a few generation metrics with a column per k.

    Args:
        built: what `harness.reporting.tables.report_tables` gives.
        console: where to; its width decides how far tables fold.
    """
    for (task, model), rows in built["generalization"].groupby(["task", "model"], sort=False):
        console.print(_generalization(f"{task} / {model}", rows))
    for (task, model), rows in built["generation"].groupby(["task", "model"], sort=False):
        for metric in GENERATION:
            for (unit, *_), some in rows[rows["metric"] == metric].groupby(["unit"], sort=False):
                console.print(_generation(f"{task} / {model}: {metric} (per {unit})", some))
    if len(built["published"]):
        console.print(published_view(built["published"]))
    console.print(Text(_explained(built["generalization"]), style="dim"))


def _explained(table: pd.DataFrame) -> str:
    """What stands behind the plus-minus, by design."""
    designs = set(table["design"].str.split(" ").str[0]) if len(table) else set()
    if "isolated" in designs:
        return "means over an isolated design: conditional on level 0, so without an interval; see table roles"
    if "crossed" in designs:
        return "mean \u00b1 half-width of the 95 % interval over the levels of the crossed roles; see table roles"
    return "mean \u00b1 half-width of the 95 % t interval over training replicates"


def _generalization(title: str, rows: pd.DataFrame) -> Table:
    splits = [split for split in dict.fromkeys(rows["split"]) if split not in ("train", "validation")]
    present = set(rows["metric"])
    metrics = [metric for metric in ("loss", *[m for m in MAIN if m in present][:1]) if metric in present]
    table = _table(title, ["regime", "n", *[f"{s} {m}" for s in splits for m in metrics], "loss gap", "failed"])
    for regime, arm in rows.groupby("regime", sort=False):
        values = [_cell(arm, split, metric) for split in splits for metric in metrics]
        gap = _cell(arm, "test", "loss", "gap")
        failed = f"{arm['failed'].max()}" + (f" (+{arm['missing'].max()} missing)" if arm["missing"].max() else "")
        table.add_row(*map(Text, [str(regime), str(arm["n"].max()), *values, gap, failed]))
    return table


def _cell(arm: pd.DataFrame, split: str, metric: str, quantity: str = "mean") -> str:
    rows = arm[(arm["split"] == split) & (arm["metric"] == metric)]
    low, high = ("ci_low", "ci_high") if quantity == "mean" else (f"{quantity}_low", f"{quantity}_high")
    return plus_minus(*rows.iloc[0][[quantity, low, high]].astype(float)) if len(rows) else ""


def _generation(title: str, rows: pd.DataFrame) -> Table:
    present = set(zip(rows["top_k"], rows["temperature"], strict=True))
    settings = sorted(present, key=lambda setting: (setting[1], top_k_rank(setting[0])))
    several = len({temperature for k, temperature in settings if k != "1"}) > 1
    names = [f"k={k} T={temperature}" if several else f"k={k}" for k, temperature in settings]
    table = _table(title, ["regime", *names])
    for regime, arm in rows.groupby("regime", sort=False):
        found = {
            (row["top_k"], row["temperature"]): plus_minus(row["mean"], row["ci_low"], row["ci_high"])
            for row in arm.to_dict("records")
        }
        table.add_row(*map(Text, [str(regime), *[found.get(setting, "") for setting in settings]]))
    return table


def _table(title: str, columns: list[str]) -> Table:
    """Headers and cells are Text: a name with square brackets is shown, not obeyed."""
    table = Table(title=Text(title), title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if place == 0 else "right", overflow="fold")
    return table
