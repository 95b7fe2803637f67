"""Effect map: how far dropout moves a metric, against how far top-k moves it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.reporting.figures.style import canvas, hide, legend, look, title_of
from harness.reporting.headline import OF_RUNS, is_headline, judged, main_metrics, metric_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REGIME, SETTINGS, TOTAL = "regime", ("top_k", "setting"), "total"
# Axes begin here: a smaller sd is drawn at the edge, as an arrow.
LEAST, MOST = 0.01, 1.5


def effect_map(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """A panel per task and model with texts, a mark per metric: sd over the regimes against sd over the settings.

    Both in units of the metric's total sd, on logarithmic axes, with 95 % intervals; above the diagonal the regimes
    move the metric more than the settings do. Metrics of a split lie at the left edge: no decoding setting can move
    them. A variance estimated as 0 or less lies at the edge too.
    """
    points = effect_points(tables.get("effects"))
    if points.empty:
        return None
    keys = list(points.groupby(["task", "model"], sort=False))
    columns = min(2, len(keys))
    metrics = sorted(set(points["metric"]), key=lambda name: (metric_rank(name.split(" ")[-1]), name))
    figure, axes = canvas(-(-len(keys) // columns), columns, height=3.4, extra=0.7 + 0.18 * -(-len(metrics) // 2))
    for (key, rows), axis in zip(keys, axes, strict=False):
        for row in rows.to_dict("records"):
            _point(axis, row, look(row["metric"], metrics))
        _frame(axis, title_of(key))
    hide(axes[len(keys) :])
    legend(figure, axes)
    figure.suptitle(
        "Dropout regimes against decoding settings\n(sd of the effect / total sd of one value, 95 % interval)"
    )
    return figure


def effect_points(table: pd.DataFrame | None) -> pd.DataFrame:
    """One row per metric: `task, model, metric, of_run`, and for `x` (settings) and `y` (regimes) the sd and its ends.

    In units of the total sd; NaN: not known. Metrics of a split have x = 0.
    """
    names = ["task", "model", "metric", "of_run", "x", "x_low", "x_high", "y", "y_low", "y_high"]
    if table is None or table.empty:
        return pd.DataFrame(columns=names)
    found = [
        {"task": key[0], "model": key[1], "metric": key[2], **_xy(some)}
        for key, some in _labelled(table).groupby(["task", "model", "metric"], sort=False)
    ]
    points = pd.DataFrame(found, columns=names)
    points = points[points["x"].notna() & points["y"].notna()]
    texts = ~points["of_run"].astype(bool)
    return points[texts.groupby([points["task"], points["model"]]).transform("any").astype(bool)]


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The headline metrics of texts, and of the test splits the loss and the main metric with the split's name."""
    texts = table[~table["unit"].isin(OF_RUNS) & is_headline(table)]
    parts = [rows for _, rows in judged(table).groupby(["task", "model"], sort=False)]
    scores = pd.concat(
        [texts.iloc[:0], *(rows[rows["metric"].isin(main_metrics(list(rows["metric"])))] for rows in parts)]
    )
    scores = scores.assign(metric=scores["split"].astype(str) + " " + scores["metric"].astype(str))
    return pd.concat([scores, texts])


def _xy(rows: pd.DataFrame) -> dict[str, Any]:
    by_name = {str(row["effect"]): row for row in rows.to_dict("records")}
    of_run = str(rows["unit"].iloc[0]) in OF_RUNS
    total = _total(rows)
    setting = next((by_name[name] for name in SETTINGS if name in by_name), None)
    still = {"variance": 0.0, "ci_low": math.nan, "ci_high": math.nan} if of_run else None
    return {
        "of_run": of_run,
        **_relative("x", setting if setting is not None else still, total),
        **_relative("y", by_name.get(REGIME), total),
    }


def _total(rows: pd.DataFrame) -> float:
    """The variance of one value: the table's own total, or the sum of its parts."""
    own = rows.loc[rows["effect"] == TOTAL, "variance"]
    return float(own.iloc[0]) if len(own) else float(rows["variance"].clip(lower=0.0).sum(skipna=False))


def _relative(axis: str, row: Mapping[Any, Any] | None, total: float) -> dict[str, float]:
    """The sd of an effect and the ends of its interval, in units of the total sd."""
    ends = {axis: "variance", f"{axis}_low": "ci_low", f"{axis}_high": "ci_high"}
    if row is None or not total > 0:
        return dict.fromkeys(ends, math.nan)
    return {name: math.sqrt(max(0.0, float(row[column])) / total) for name, column in ends.items()}


def _point(axis: Axes, row: Mapping[Any, Any], style: Mapping[str, Any]) -> None:
    """A mark with its intervals; what lies below the axes is drawn hollow at their edge."""
    hollow = {"markerfacecolor": "white"} if min(row["x"], row["y"]) < LEAST else {}
    looks: dict[str, Any] = {
        **style,
        **hollow,
        "linestyle": "none",
        "elinewidth": 0.6,
        "clip_on": False,
        "label": row["metric"],
    }
    axis.errorbar(_inside(row["x"]), _inside(row["y"]), xerr=_reach(row, "x"), yerr=_reach(row, "y"), **looks)


def _reach(row: Mapping[Any, Any], name: str) -> list[list[float]]:
    """How far the interval reaches below and above the mark; not at all where it is unknown."""
    at, low, high = (_inside(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return [[0.0], [0.0]] if pd.isna(low) else [[max(0.0, at - low)], [max(0.0, high - at)]]


def _inside(value: float) -> float:
    """Where a value is drawn: on the axes; NaN stays."""
    return value if pd.isna(value) else min(max(float(value), LEAST), MOST)


def _frame(axis: Axes, title: str) -> None:
    axis.set(xscale="log", yscale="log", xlim=(LEAST, MOST), ylim=(LEAST, MOST), title=title)
    axis.plot([LEAST, MOST], [LEAST, MOST], color="0.6", linewidth=0.8, zorder=0)
    ticks = [LEAST, 0.03, 0.1, 0.3, 1.0]
    names = [f"≤ {LEAST:g}", *(f"{tick:g}" for tick in ticks[1:])]
    axis.set_xticks(ticks, names)
    axis.set_yticks(ticks, names)
    axis.minorticks_off()
    axis.set_xlabel("decoding settings (top-k)")
    axis.set_ylabel("dropout regimes")
    place: dict[str, Any] = {"transform": axis.transAxes, "fontsize": 6, "color": "0.4"}
    axis.text(0.03, 0.97, "regimes move it more", va="top", **place)
    axis.text(0.97, 0.03, "settings move it more", ha="right", **place)
