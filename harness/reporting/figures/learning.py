"""Validation loss against optimiser steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from harness.reporting.figures.runs import rows_of, runs
from harness.reporting.figures.style import canvas, hide, legend, line_look, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "validation.loss"


def learning_curves(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """Mean over training replicates by step, with a band from the lowest to the highest, a panel per task and model.

    Only steps at which every replicate of the arm was evaluated are drawn: a mean over those that ran longest would
    be another population.
    """
    curves = rows_of(tables, "history", runs(tables))
    curves = curves[curves["metric"] == METRIC]
    if curves.empty:
        return None
    panels = list(curves.groupby(["task", "model"], sort=True))
    columns = min(3, len(panels))
    figure, axes = canvas(-(-len(panels) // columns), columns, height=2.6, extra=0.9 + 0.16 * len(regimes) / 2)
    for (key, rows), axis in zip(panels, axes, strict=False):
        for regime in regimes:
            _curve(axis, rows[rows["regime"] == regime], regime, regimes)
        axis.set(title=title_of(key), xlabel="optimiser step", ylabel="validation loss (nats)")
        axis.locator_params(axis="x", nbins=5)
    hide(axes[len(panels) :])
    legend(figure, axes)
    figure.suptitle("Learning curves (mean, lowest and highest training replicate)")
    return figure


def _curve(axis: Axes, rows: pd.DataFrame, regime: str, regimes: Sequence[str]) -> None:
    by_step = rows.groupby("step")["value"].agg(["mean", "min", "max", "count"])
    by_step = by_step[by_step["count"] == rows["uid"].nunique()]
    if by_step.empty:
        return
    look = line_look(regime, regimes)
    if len(by_step) == 1:
        look |= {"marker": "o", "markersize": 3}
    axis.plot(by_step.index, by_step["mean"], label=regime, **look)
    if rows["uid"].nunique() > 1:
        alpha = min(0.15, 0.6 / len(regimes))  # many bands over each other must not hide the lines
        axis.fill_between(by_step.index, by_step["min"], by_step["max"], color=look["color"], alpha=alpha, linewidth=0)
