"""Generated texts against k: diversity, repetition, and how likely the model finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.order import top_k_rank
from harness.analysis.settings import ALL, GREEDY, HUMAN, filters_of
from harness.reporting.figures.style import DASHES, canvas, hide, legend, look, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# metric, unit; of these the ones that have values are drawn.
DIVERSITY = (
    ("distinct-2", "text"),
    ("replicate-distinctness", "prompt"),
    ("self-bleu-4", "set"),
    ("seq-rep-4", "text"),
    ("repetition-loop", "text"),
    ("perplexity", "text"),
)
FILLS = ("full", "none", "left", "right")
_COLUMNS = 3
_LOGARITHMIC = ("perplexity",)


def diversity_by_k(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """A panel per metric, task and model: a line per regime and temperature against k, human texts as a dashed line.

    Settings with top-p or min-p lie on no axis of k: they are single points after `all`.
    """
    table = tables["generation"]
    table = table.assign(place=[_place(row) for row in table.to_dict("records")])
    drawn = [pair for pair in DIVERSITY if table.loc[_chosen(table, *pair), "mean"].notna().any()]
    if not drawn:
        return None
    keys = list(table.groupby(["task", "model"], sort=False))
    columns = min(_COLUMNS, len(drawn))
    lines = -(-len(drawn) // columns)
    height = 2.9 if table["place"].str.contains("=").any() else 2.4
    figure, axes = canvas(lines * len(keys), columns, height=height, extra=0.9 + 0.16 * len(regimes) / 2)
    for number, (key, rows) in enumerate(keys):
        mine = axes[number * lines * columns : (number + 1) * lines * columns]
        for axis, (metric, unit) in zip(mine, drawn, strict=False):
            _panel(axis, rows[_chosen(rows, metric, unit)], regimes, metric)
            axis.set(title=title_of(key), ylabel=f"{metric}\n(per {unit})")
        hide(mine[len(drawn) :])
    legend(figure, axes)
    figure.suptitle("Generated texts against k (mean, and 95 % interval where the design has one)")
    return figure


def _chosen(table: pd.DataFrame, metric: str, unit: str) -> pd.Series[bool]:
    return (table["metric"] == metric) & (table["unit"] == unit)


def _place(row: dict[Any, Any]) -> str:
    """The label of a setting's place on the axis: its k, or what is filtered beside it."""
    filters = filters_of(row["top_p"], row["min_p"])
    if not filters:
        return str(row["top_k"])
    return " ".join([*([] if row["top_k"] == ALL else [f"k={row['top_k']}"]), *filters])


def _panel(axis: Axes, table: pd.DataFrame, regimes: Sequence[str], metric: str) -> None:
    """Every k has its own place on the axis; greedy (k = 1, no temperature) starts the line of every temperature."""
    human, sampled = table[table["top_k"] == HUMAN], table[table["top_k"] != HUMAN]
    places = _places(sampled)
    warm = sorted(set(sampled.loc[sampled["top_k"] != GREEDY, "temperature"])) or [1.0]
    for index, regime in enumerate(regimes):
        for number, temperature in enumerate(warm):
            setting = (sampled["temperature"] == temperature) | (sampled["top_k"] == GREEDY)
            mine = sampled[(sampled["regime"] == regime) & setting]
            if mine["mean"].notna().any():
                shift = 0.3 * (index / max(1, len(regimes) - 1) - 0.5) + 0.06 * number
                name = regime if len(warm) == 1 else f"{regime}, T = {temperature:g}"
                style = {"linestyle": DASHES[number % 4], "fillstyle": FILLS[number % 4]}
                _line(axis, mine, places, shift, name, {**look(regime, regimes), **style})
    _human(axis, human, regimes)
    if metric in _LOGARITHMIC:
        _logarithmic(axis)
    axis.set_xticks(range(len(places)), places)
    for tick in axis.get_xticklabels():
        tick.set_rotation(90.0 if "=" in tick.get_text() else 0.0)
    axis.set_xlabel("k")


def _logarithmic(axis: Axes) -> None:
    """A logarithmic axis with plain numbers: the style leaves powers of ten as they are written for a formula."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(base=10.0, subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())


def _places(table: pd.DataFrame) -> list[str]:
    """The places on the axis: every k by number, then the settings with other filters."""
    rows = table.drop_duplicates("place").to_dict("records")
    rows.sort(key=lambda row: (row["place"] != row["top_k"], top_k_rank(row["top_k"]), -row["top_p"], row["min_p"]))
    return [str(row["place"]) for row in rows]


def _line(axis: Axes, rows: pd.DataFrame, places: Sequence[str], shift: float, name: str, look: dict[str, Any]) -> None:
    """A line through every k; settings with other filters as points beside it."""
    rows = rows.sort_values("place", key=lambda column: column.map(list(places).index))
    plain = rows["place"] == rows["top_k"]
    for some, style in ((rows[plain], look), (rows[~plain], {**look, "linestyle": "none"})):
        if len(some):
            reach = [some["mean"] - some["ci_low"], some["ci_high"] - some["mean"]]
            at = [places.index(place) + shift for place in some["place"]]
            label = name if some["place"].iloc[0] == rows["place"].iloc[0] else None
            axis.errorbar(at, some["mean"], yerr=reach, capsize=2, linewidth=1, label=label, **style)


def _human(axis: Axes, rows: pd.DataFrame, regimes: Sequence[str]) -> None:
    """A dashed line with its name; one for all regimes where the metric does not depend on the model."""
    rows = rows.dropna(subset=["mean"])
    if rows.empty:
        return
    if rows["mean"].nunique() == 1:
        rows = rows.iloc[:1]
    for row in rows.to_dict("records"):
        colour = "0.35" if len(rows) == 1 else look(str(row["regime"]), regimes)["color"]
        axis.axhline(row["mean"], color=colour, linestyle=(0, (6, 3)), linewidth=0.9, zorder=1)
    top = rows["mean"].max()
    axis.annotate(
        HUMAN, (1.01, top), xycoords=("axes fraction", "data"), ha="left", va="center", fontsize=7, color="0.35"
    )
