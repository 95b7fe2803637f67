"""Forest plot: each regime against the reference on the held-out splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.reporting.contrasts import ALPHA
from harness.reporting.figures.style import canvas, hide, look, title_of
from harness.reporting.headline import judged, main_metrics
from harness.reporting.numbers import p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 4


def contrast_forest(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """A panel per task, model, test split and metric (the loss and the task's main metric), a line per regime.

    The mark is filled where the difference has a Holm-adjusted p below .05; the p stands beside it.
    """
    rows = _drawn(tables.get("contrasts"))
    if not len(rows) or not rows["difference"].notna().any():
        return None
    panels = [(key, some) for key, some in rows.groupby(["task", "model", "split", "metric"], sort=False)]
    columns = min(len(panels), 2 if len(panels) <= _FEW else 3)
    lines = -(-len(panels) // columns)
    figure, axes = canvas(lines, columns, height=1.0 + 0.22 * max(some["regime"].nunique() for _, some in panels))
    for (key, some), axis in zip(panels, axes, strict=False):
        _panel(axis, some, regimes)
        axis.set_title(f"{title_of(key[:2], 34)}\n{key[2]} {key[3]}")
    hide(axes[len(panels) :])
    reference = ", ".join(sorted(set(rows["reference"].astype(str))))
    figure.suptitle(f"Difference to {reference} (mean, 95 % interval; filled: adjusted p < {ALPHA})")
    return figure


def _drawn(table: pd.DataFrame | None) -> pd.DataFrame:
    """Contrasts of regimes on the test splits, of the loss and the main metric."""
    if table is None or table.empty:
        return pd.DataFrame()
    rows = judged(table[table["family"] == "regimes"])
    some = [part[part["metric"].isin(main_metrics(list(part["metric"])))] for _, part in _by_problem(rows)]
    return pd.concat(some) if some else pd.DataFrame()


def _by_problem(rows: pd.DataFrame) -> Any:
    return rows.groupby(["task", "model", "split"], sort=False)


def _panel(axis: Axes, rows: pd.DataFrame, regimes: Sequence[str]) -> None:
    shown = [regime for regime in regimes if regime in set(rows["regime"])]
    axis.axvline(0.0, color="0.6", linewidth=0.8)
    for place, regime in enumerate(shown):
        row = rows[rows["regime"] == regime].iloc[0]
        if pd.isna(row["difference"]):
            axis.text(0.0, place, " no value", va="center", color="0.4")
            continue
        found = row["p_adjusted"] < ALPHA
        style = look(regime, regimes) | {"markerfacecolor": None if found else "white"}
        reach = [[row["difference"] - row["ci_low"]], [row["ci_high"] - row["difference"]]]
        axis.errorbar(row["difference"], place, xerr=reach, capsize=2, **style)
        mark = "" if pd.isna(row["p_adjusted"]) else f" {_p(row['p_adjusted'])}"
        axis.text(1.01, place, mark, transform=axis.get_yaxis_transform(), va="center", fontsize=6, color="0.2")
    axis.set_yticks(range(len(shown)), shown)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    direction = str(rows["direction"].iloc[0])
    better = f" ({direction} is better)" if direction in ("lower", "higher") else ""
    axis.set_xlabel(f"difference of the {rows['metric'].iloc[0]}{better}")
    axis.locator_params(axis="x", nbins=4)


def _p(value: float) -> str:
    shown = p_value(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"
