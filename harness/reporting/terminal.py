"""The report in a terminal: what a person wants to see first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.order import top_k_rank
from harness.analysis.settings import GREEDY, HUMAN, filters_of, setting_name, setting_of
from harness.reporting.numbers import plus_minus
from harness.reporting.published import published_view

# The metric shown beside the loss: the first of these that the task has.
MAIN = ("accuracy", "matthews", "f1", "perplexity")
GENERATION = ("replicate-distinctness", "distinct-2", "seq-rep-4", "self-bleu-4", "perplexity")
_WIDE = 8
_FEW = 3


def print_tables(built: Mapping[str, pd.DataFrame], console: Console) -> None:
    """Prints the test splits and the gap by regime, and a few generation metrics by setting.

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
    metrics = metrics or list(dict.fromkeys(rows["metric"]))[:_FEW]  # a user's own scores have names of their own
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
    """A line per regime; with many settings a line per setting, which a terminal can show."""
    found = {
        (setting_of(row), str(row["regime"])): plus_minus(row["mean"], row["ci_low"], row["ci_high"])
        for row in rows.to_dict("records")
    }
    settings = sorted({setting for setting, _ in found}, key=_place)
    regimes = list(dict.fromkeys(map(str, rows["regime"])))
    if len(settings) > _WIDE:
        table = _table(title, ["setting", *regimes])
        lines = [[setting_name(*setting), *[found.get((setting, r), "") for r in regimes]] for setting in settings]
    else:
        table = _table(title, ["regime", *(setting_name(*setting) for setting in settings)])
        lines = [[regime, *[found.get((s, regime), "") for s in settings]] for regime in regimes]
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _place(setting: tuple[str, float, float, float]) -> tuple[Any, ...]:
    """Greedy, then by temperature and k; filters after all k, human last."""
    top_k, temperature, top_p, min_p = setting
    kind = [top_k != GREEDY, bool(filters_of(top_p, min_p)), top_k == HUMAN]
    return *reversed(kind), temperature, top_k_rank(top_k), -top_p, min_p


def _table(title: str, columns: list[str]) -> Table:
    """Headers and cells are Text: a name with square brackets is shown, not obeyed."""
    table = Table(title=Text(title), title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if place == 0 else "right", overflow="fold")
    return table
