"""Stacked variance shares: which die made a number, in both units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.order import top_k_rank
from harness.analysis.settings import GREEDY, HUMAN
from harness.reporting.figures.style import canvas, legend, title_of
from harness.reporting.headline import OF_RUNS, is_headline, judged, metric_rank, setting_text
from harness.reporting.randomness import BOTH, DICE, INFERENCE, PROMPT, TRAINING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNITS = {"": "per value", "score_": "per benchmark score"}
_OF_A_RUN = "split"
# Colours of the style's palette; the hatch and the grey keep the parts apart in print.
_LOOKS: dict[str, dict[str, Any]] = {
    TRAINING: {"color": "#0072B2"},
    BOTH: {"color": "#56B4E9", "hatch": "////", "edgecolor": "white", "linewidth": 0.0},
    PROMPT: {"color": "#C8C8C8"},
    INFERENCE: {"color": "#E69F00"},
}
_TITLE = (
    "Where the variance comes from: shares in %, mean over the regimes, negative estimates as 0\n"
    "per value: one text, prompt, set or example; per benchmark score: their mean over all prompts"
)
_WRITTEN = 0.12
_MOST_SETTINGS = 3


def variance_shares(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """A row of panels per task and model, a panel per unit, a bar per headline metric and setting.

    A bar holds the mean over the regimes of each part's variance, as a share of their sum; negative estimates count
    as 0. Of many settings three are drawn: the smallest and largest sampled k and one between. Metrics with one value
    a run have no bar: all their variance is from training.
    """
    bars = shares(tables.get("randomness"))
    if bars.empty:
        return None
    keys = list(bars.groupby(["task", "model"], sort=False))
    counts = [rows["bar"].nunique() + 2.5 for _, rows in keys]
    figure, axes = canvas(len(keys), 2, height=0.19 * sum(counts) / len(keys), extra=1.3, ratios=counts)
    for number, (key, rows) in enumerate(keys):
        for axis, unit in zip(axes[2 * number : 2 * number + 2], UNITS, strict=True):
            _panel(axis, rows, unit)
            axis.set_title(f"{title_of(key)}\n{UNITS[unit]}" if unit == "" else UNITS[unit], loc="left")
        axes[2 * number + 1].set_yticklabels([])
    legend(figure, axes)
    figure.suptitle(_TITLE)
    return figure


def shares(table: pd.DataFrame | None) -> pd.DataFrame:
    """One row per bar and part: `task, model, bar`, variance in each unit (NaN: unknown in every regime)."""
    empty = pd.DataFrame(columns=["task", "model", "bar", "component", "variance", "score_variance"])
    if table is None or table.empty:
        return empty
    rows = table[table["component"].isin(DICE) & is_headline(table)]
    rows = rows[~rows["top_k"].isin([GREEDY, HUMAN]) & (rows["unit"] != _OF_A_RUN)]
    rows = pd.concat([empty, *(_drawn(some) for _, some in rows.groupby(["task", "model"], sort=False))])
    if rows.empty:
        return empty
    keys = ["task", "model", "bar", "component"]
    means = {column: _mean(rows, column, keys) for column in ("variance", "score_variance")}
    return pd.DataFrame(means).reset_index()


def _mean(rows: pd.DataFrame, column: str, keys: list[str]) -> pd.Series[float]:
    """The mean over the regimes that know every part of their bar; where none does, over what is known of each."""
    values = rows[column].astype(float).clip(lower=0.0)
    arms = [rows[name] for name in ("task", "model", "bar", "regime")]
    whole = values.notna().groupby(arms).transform("all").astype(bool)
    by = [rows[name] for name in keys]
    known = values.where(whole).groupby(by, sort=False).mean()
    return known.fillna(values.groupby(by, sort=False).mean())


def _drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one task and model that are drawn, with the name of their bar, in the order of the bars."""
    rows = pd.concat([judged(rows), rows[~rows["unit"].isin(OF_RUNS)]])
    rows = rows.assign(setting=[setting_text(row) for row in rows.to_dict("records")])
    rows = rows[rows["setting"].isin(["", *_settings(rows[rows["setting"] != ""])])]
    rows = rows.assign(
        bar=[_name(*names) for names in zip(rows["metric"], rows["unit"], rows["split"], rows["setting"], strict=True)],
        place=rows["metric"].map(metric_rank),
        k=rows["top_k"].map(lambda k: top_k_rank(k) if k else 0.0),
    )
    return rows.sort_values(["place", "k"], kind="stable")


def _settings(rows: pd.DataFrame) -> list[str]:
    """The first, the middle and the last of the settings without temperature and filters, where there are any."""
    once = rows.drop_duplicates("setting")
    plain = once[(once["temperature"] == 1.0) & (once["top_p"] == 1.0) & (once["min_p"] == 0.0)]
    chosen = plain if len(plain) else once
    names = [str(name) for name in chosen.sort_values("top_k", key=lambda column: column.map(top_k_rank))["setting"]]
    return names if len(names) <= _MOST_SETTINGS else [names[0], names[len(names) // 2], names[-1]]


def _name(metric: str, unit: str, split: str, setting: str) -> str:
    return f"{split} {metric}" if split else f"{metric} ({unit}), {setting}"


def _panel(axis: Axes, rows: pd.DataFrame, unit: str) -> None:
    bars = list(dict.fromkeys(rows["bar"]))
    parts = rows.set_index(["bar", "component"])[f"{unit}variance"]
    for place, bar in enumerate(bars):
        values = {name: float(parts[bar, name]) for name in (TRAINING, BOTH, PROMPT, INFERENCE) if (bar, name) in parts}
        total = sum(values.values())
        if pd.isna(total):
            unknown = ", ".join(name for name, value in values.items() if pd.isna(value))
            axis.text(0.01, place, f"not known: {unknown}", va="center", color="0.4", fontsize=6)
        elif total == 0.0:
            axis.text(0.01, place, "no variance", va="center", color="0.4", fontsize=6)
        else:
            _bar(axis, place, {name: value / total for name, value in values.items()})
    axis.set_yticks(range(len(bars)), bars)
    axis.set_ylim(len(bars) - 0.5, -0.5)
    axis.set_xlim(0.0, 1.0)
    axis.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])


def _bar(axis: Axes, place: int, values: Mapping[str, float]) -> None:
    left = 0.0
    for name, share in values.items():
        axis.barh(place, share, left=left, height=0.8, label=name, **_LOOKS[name])
        if share >= _WRITTEN:
            colour = "white" if name == TRAINING else "black"
            axis.text(left + share / 2, place, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=6)
        left += share
