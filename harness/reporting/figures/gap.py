"""Generalisation gap by regime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from harness.reporting.figures.style import canvas, hide, look, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def generalization_gap(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """Test loss minus train loss by regime, a panel per task and model."""
    table = tables["generalization"]
    table = table[(table["metric"] == "loss") & (table["split"] == "test")]
    if not table["gap"].notna().any():
        return None
    panels = list(table.groupby(["task", "model"], sort=False))
    columns = 2 if len(panels) == 4 else min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = canvas(rows, columns, height=0.9 + 0.26 * len(regimes))
    for (key, rows_of), axis in zip(panels, axes, strict=False):
        _gap_panel(axis, title_of(key), rows_of, regimes)
    hide(axes[len(panels) :])
    figure.suptitle("Generalisation gap of the loss: test - train\n(mean, and 95 % interval where the design has one)")
    return figure


def _gap_panel(axis: Axes, title: str, table: pd.DataFrame, regimes: Sequence[str]) -> None:
    shown = [regime for regime in regimes if regime in set(table["regime"])]
    axis.axvline(0.0, color="0.6", linewidth=0.8)
    for place, regime in enumerate(shown):
        row = table[table["regime"] == regime].iloc[0]
        if pd.isna(row["gap"]):
            axis.text(0.0, place, " no value", va="center", color="0.4")
            continue
        reach = [[row["gap"] - row["gap_low"]], [row["gap_high"] - row["gap"]]]
        axis.errorbar(row["gap"], place, xerr=reach, capsize=2, **look(regime, regimes))
    axis.set_yticks(range(len(shown)), shown)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_title(title)
    axis.set_xlabel("loss gap (nats)")
    axis.locator_params(axis="x", nbins=4)
