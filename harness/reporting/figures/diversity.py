"""Diversity of the texts against k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.order import top_k_rank
from harness.reporting.figures.style import DASHES, canvas, legend, look, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIVERSITY = (("replicate-distinctness", "prompt"), ("distinct-2", "text"))


def diversity_by_k(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """Diversity against k, one line per regime, a row of panels per task, model and temperature."""
    table = tables["generation"]
    drawn = [pair for pair in DIVERSITY if table.loc[_chosen(table, *pair), "mean"].notna().any()]
    if not drawn:
        return None
    table = table[[pair in drawn for pair in zip(table["metric"], table["unit"], strict=True)]]
    panels = list(table.groupby(["task", "model"], sort=False))
    figure, axes = canvas(len(panels), len(drawn), height=2.4, extra=0.9 + 0.16 * len(regimes) / 2)
    for line, (key, rows) in enumerate(panels):
        for column, (metric, unit) in enumerate(drawn):
            _k_panel(axes[line * len(drawn) + column], rows[_chosen(rows, metric, unit)], regimes)
            axes[line * len(drawn) + column].set(title=title_of(key), ylabel=f"{metric} (per {unit})")
    legend(figure, axes)
    figure.suptitle("Diversity against k (mean, and 95 % interval where the design has one)")
    return figure


def _chosen(table: pd.DataFrame, metric: str, unit: str) -> pd.Series[bool]:
    return (table["metric"] == metric) & (table["unit"] == unit)


def _k_panel(axis: Axes, table: pd.DataFrame, regimes: Sequence[str]) -> None:
    """Every k has its own place on the axis; greedy (k = 1, no temperature) starts the line of every temperature."""
    labels = sorted(set(table["top_k"]), key=top_k_rank)
    warm = sorted(set(table.loc[table["top_k"] != "1", "temperature"])) or [1.0]
    for index, regime in enumerate(regimes):
        for number, temperature in enumerate(warm):
            setting = (table["temperature"] == temperature) | (table["top_k"] == "1")
            mine = table[(table["regime"] == regime) & setting]
            if mine["mean"].notna().any():
                shift = 0.3 * (index / max(1, len(regimes) - 1) - 0.5)
                name = regime if len(warm) == 1 else f"{regime}, T = {temperature}"
                _line(axis, mine, labels, shift, name, {**look(regime, regimes), "linestyle": DASHES[number % 4]})
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlabel("k")


def _line(axis: Axes, rows: pd.DataFrame, labels: Sequence[str], shift: float, name: str, look: dict[str, Any]) -> None:
    rows = rows.sort_values("top_k", key=lambda column: column.map(top_k_rank))
    places = [labels.index(k) + shift for k in rows["top_k"]]
    reach = [rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]]
    axis.errorbar(places, rows["mean"], yerr=reach, capsize=2, linewidth=1, label=name, **look)
