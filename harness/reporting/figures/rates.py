"""Dropout rates as they were applied, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.reporting.figures.runs import ARM, rows_of, runs
from harness.reporting.figures.style import canvas, hide, legend, line_look, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3


def dropout_rates(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """Rate by optimiser step: a panel per task, model and site, a line per regime, of the lowest replicate.

    Tasks and models with the same rates at a site share a panel, which names the first and how many more there are.
    Rates that differ by layer (sites named `sublayer/0`, `sublayer/1`, ...) share the panel of their site: a thin
    line per layer, with the numbers of the lowest and the highest layer where their rates peak.
    """
    cells = runs(tables).drop_duplicates(ARM)
    rates = rows_of(tables, "rates", cells)
    if not (rates["rate"] > 0).any():
        return None
    rates = rates.assign(place=rates["site"].map(lambda site: site.split("/")[0]))
    ends = rows_of(tables, "history", cells).groupby("uid")["step"].max().to_dict()
    used = rates.groupby(["task", "model", "place"], sort=False).filter(lambda rows: (rows["rate"] > 0).any())
    panels = _once(used.groupby(["task", "model", "place"], sort=True), ends)
    columns = min(_COLUMNS, len(panels))
    figure, axes = canvas(-(-len(panels) // columns), columns, height=2.1, extra=0.9 + 0.16 * len(regimes) / 2)
    for (title, rows), axis in zip(panels, axes, strict=False):
        _panel(axis, rows, regimes, ends)
        axis.set(title=title, xlabel="optimiser step", ylabel="rate")
    hide(axes[len(panels) :])
    legend(figure, axes)
    figure.suptitle("Dropout rates as applied (lowest training replicate; regimes that stay at 0 are not drawn)")
    return figure


def _once(panels: Iterable[tuple[Any, pd.DataFrame]], ends: Mapping[Any, int]) -> list[tuple[str, pd.DataFrame]]:
    """The panels' titles and rows, those with the same lines once."""
    found: dict[Any, list[tuple[Any, pd.DataFrame]]] = {}
    for key, rows in panels:
        lines = rows[["regime", "site", "step", "rate"]].itertuples(index=False, name=None)
        ending = tuple(sorted((regime, ends.get(uid, 0)) for regime, uid in _arms(rows)))
        found.setdefault((key[2], tuple(sorted(lines)), ending), []).append((key, rows))
    return [(_title(same[0][0], len(same) - 1), same[0][1]) for same in found.values()]


def _arms(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(rows[["regime", "uid"]].drop_duplicates().itertuples(index=False, name=None))


def _title(key: Sequence[str], others: int) -> str:
    return f"{key[2]}\n{title_of(key[:2])}" + (f"\nand {others} more like it" if others else "")


def _panel(axis: Axes, rows: pd.DataFrame, regimes: Sequence[str], ends: Mapping[Any, int]) -> None:
    for regime in regimes:
        mine = rows[rows["regime"] == regime]
        if not (mine["rate"] > 0).any():
            continue
        end = max(int(ends.get(mine["uid"].iloc[0], 0)), int(mine["step"].max()) + 1)
        _lines(axis, mine, regime, end, line_look(regime, regimes))
    axis.set_ylim(bottom=0.0)
    axis.locator_params(axis="x", nbins=5)


def _lines(axis: Axes, rows: pd.DataFrame, regime: str, end: int, look: dict[str, Any]) -> None:
    """One regime at one site: one line, or a thin one per layer; the last rate holds until the end of training."""
    layers = sorted(set(rows["site"]), key=_layer)
    for site in layers:
        line = rows[rows["site"] == site]
        steps, values = [*line["step"], end], [*line["rate"], line["rate"].iloc[-1]]
        width = {"linewidth": 0.5} if len(layers) > 1 else {}
        axis.step(steps, values, where="post", label=regime if site == layers[0] else None, **{**look, **width})
        if len(layers) > 1 and site in (layers[0], layers[-1]):
            peak = values.index(max(values))
            axis.annotate(f"layer {_layer(site)}", (steps[peak], values[peak]), fontsize=6, color=look["color"])


def _layer(site: str) -> int:
    """The layer of `sublayer/3`; a site without layers is -1."""
    layer = site.partition("/")[2]
    return int(layer) if layer.isdigit() else -1
