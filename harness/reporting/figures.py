"""Figures, drawn without pyplot's global state and byte-identical whenever they are drawn again.

Colours: Okabe and Ito (2008), "Color Universal Design", told apart by readers with colour-vision deficiency; markers
and dashes repeat the distinction for print. Their yellow is darkened: on white it cannot be read.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.order import top_k_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#B8A600")
MARKERS = "osD^vPX*"
DASHES = ("-", "--", ":", "-.")
DIVERSITY = (("replicate-distinctness", "prompt"), ("distinct-2", "text"))
_DPI = 150
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "twodice",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(name: str, tables: dict[str, pd.DataFrame], regimes: Sequence[str]) -> dict[str, bytes] | None:
    """One figure as `{"svg": ..., "png": ...}`, or None where the tables have nothing to draw.

    Args:
        name: `generalization_gap` or `diversity_by_k`.
        tables: what `report_tables` gives.
        regimes: the grid's regimes; a regime has one colour in all figures.
    """
    from matplotlib import style

    with style.context(["default", _STYLE]):
        figure = _FIGURES[name](tables, regimes)
        return None if figure is None else {form: _rendered(figure, form) for form in ("svg", "png")}


def _rendered(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    silent: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    figure.savefig(buffer, format=form, dpi=_DPI, metadata=silent)
    return buffer.getvalue()


def _generalization_gap(tables: dict[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """Test loss minus train loss by regime, a panel per task and model."""
    table = tables["generalization"]
    table = table[(table["metric"] == "loss") & (table["split"] == "test")]
    if not table["gap"].notna().any():
        return None
    panels = list(table.groupby(["task", "model"], sort=False))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = _canvas(rows, columns, height=0.9 + 0.26 * len(regimes))
    for (key, rows_of), axis in zip(panels, axes, strict=False):
        _gap_panel(axis, _title(key), rows_of, regimes)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("Generalisation gap of the loss: test - train\n(mean, 95 % t interval over training replicates)")
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
        axis.errorbar(row["gap"], place, xerr=reach, capsize=2, **_look(regime, regimes))
    axis.set_yticks(range(len(shown)), shown)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_title(title)
    axis.set_xlabel("loss gap (nats)")
    axis.locator_params(axis="x", nbins=4)


def _diversity_by_k(tables: dict[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """Diversity against k, one line per regime, a row of panels per task, model and temperature."""
    table = tables["generation"]
    drawn = [pair for pair in DIVERSITY if table.loc[_chosen(table, *pair), "mean"].notna().any()]
    if not drawn:
        return None
    table = table[[pair in drawn for pair in zip(table["metric"], table["unit"], strict=True)]]
    panels = list(table.groupby(["task", "model"], sort=False))
    figure, axes = _canvas(len(panels), len(drawn), height=2.4, extra=0.9 + 0.16 * len(regimes) / 2)
    for line, (key, rows) in enumerate(panels):
        for column, (metric, unit) in enumerate(drawn):
            _k_panel(axes[line * len(drawn) + column], rows[_chosen(rows, metric, unit)], regimes)
            axes[line * len(drawn) + column].set(title=_title(key), ylabel=f"{metric} (per {unit})")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle("Diversity against k (mean, 95 % t interval over training replicates)")
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
                _line(axis, mine, labels, shift, name, {**_look(regime, regimes), "linestyle": DASHES[number % 4]})
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlabel("k")


def _line(axis: Axes, rows: pd.DataFrame, labels: Sequence[str], shift: float, name: str, look: dict[str, Any]) -> None:
    rows = rows.sort_values("top_k", key=lambda column: column.map(top_k_rank))
    places = [labels.index(k) + shift for k in rows["top_k"]]
    reach = [rows["mean"] - rows["ci_low"], rows["ci_high"] - rows["mean"]]
    axis.errorbar(places, rows["mean"], yerr=reach, capsize=2, linewidth=1, label=name, **look)


def _look(regime: str, regimes: Sequence[str]) -> dict[str, Any]:
    index = list(regimes).index(regime)
    return {
        "color": PALETTE[index % len(PALETTE)],
        "marker": MARKERS[index // len(PALETTE) % len(MARKERS)] if index >= len(PALETTE) else MARKERS[index],
        "markersize": 4,
    }


def _canvas(rows: int, columns: int, height: float, extra: float = 0.5) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.5, 3.4 * columns), height * rows + extra), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _title(key: Iterable[object]) -> str:
    return "\n".join(textwrap.wrap(" / ".join(map(str, key)), 44))


_FIGURES = {"generalization_gap": _generalization_gap, "diversity_by_k": _diversity_by_k}
FIGURES = tuple(_FIGURES)
