"""Published numbers beside ours."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.reporting.figures.style import PALETTE, canvas, legend, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue: nothing speaks against the number; vermillion: something does; grey: no answer. Marks repeat it for print.
_VERDICTS = {"agrees": (PALETTE[0], "o"), "above": (PALETTE[0], "o"), "does not agree": (PALETTE[4], "X")}
_VERDICTS |= {"below": (PALETTE[4], "X")}
_OPEN = ("0.45", "s")
_WIDTH = 6.5
_LABEL = 40
_MEASURE = ["task", "model", "split", "unit", "metric"]
Panel = tuple[str, list[dict[Any, Any]]]


def published_and_ours(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> Figure | None:
    """A panel per metric with the published values, and one per published order with its adjacent differences."""
    table = tables.get("published")
    if table is None or table.empty:
        return None
    panels = [*_values(table), *_orders(table)]
    if not panels:
        return None
    counts = [len(rows) + 2.5 for _, rows in panels]
    figure, axes = canvas(len(panels), 1, height=0.3 * sum(counts) / len(panels), extra=1.0, ratios=counts)
    figure.set_figwidth(_WIDTH)
    for (title, rows), axis in zip(panels, axes, strict=True):
        _panel(axis, rows)
        axis.set_title(title)
    legend(figure, axes)
    figure.suptitle("Published and ours (mean, 95 % interval; thin: 95 % prediction interval of the published mean)")
    return figure


def _values(table: pd.DataFrame) -> Iterator[Panel]:
    values = table[table["kind"] == "value"]
    for key, rows in values.groupby(_MEASURE, sort=False, dropna=False):
        yield title_of(_known(key), 60), rows.to_dict("records")


def _orders(table: pd.DataFrame) -> Iterator[Panel]:
    orders = table[table["kind"] != "value"]
    for entry, rows in orders.groupby("entry", sort=False):
        head = rows[rows["kind"] == "ordering"].iloc[0]
        steps = rows[rows["kind"] == "difference"].to_dict("records")
        named = title_of(_known(head[name] for name in _MEASURE), 60)
        yield f"{named}\norder of entry {entry}: {head['verdict']}", steps


def _known(names: Iterable[Any]) -> list[str]:
    return [str(name) for name in names if pd.notna(name) and name]


def _panel(axis: Axes, rows: Sequence[dict[Any, Any]]) -> None:
    if rows and rows[0]["kind"] == "difference":
        axis.axvline(0.0, color="0.6", linewidth=0.8)
        axis.set_xlabel("difference")
    for place, row in enumerate(rows):
        _row(axis, place, row)
    axis.set_yticks(range(len(rows)), [_label(row) for row in rows])
    axis.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axis.locator_params(axis="x", nbins=4)


def _row(axis: Axes, place: int, row: Mapping[Any, Any]) -> None:
    """Ours with its intervals and verdict; the published value below it with its spread."""
    verdict = str(row["verdict"])
    name = next((known for known in _VERDICTS if verdict.startswith(known)), "")
    colour, mark = _VERDICTS.get(name, _OPEN)
    if pd.notna(row["mean"]):
        if pd.notna(row["prediction_low"] if row["kind"] == "value" else None):
            axis.plot([row["prediction_low"], row["prediction_high"]], [place, place], color=colour, linewidth=0.6)
        reach = [[row["mean"] - row["ci_low"]], [row["ci_high"] - row["mean"]]]
        shown = _WORDS.get(name, "ours: undecided")
        axis.errorbar(
            row["mean"], place, xerr=reach, color=colour, marker=mark, markersize=4, capsize=2, elinewidth=1.6,
            linestyle="none", label=shown,
        )  # fmt: skip
    else:
        axis.text(0.02, place, "ours: no value", transform=axis.get_yaxis_transform(), va="center", color="0.4")
    if row["kind"] == "value":
        spread = 0.0 if pd.isna(row["spread"]) else float(row["spread"])
        axis.errorbar(
            row["published"], place + 0.25, xerr=spread or None, color="black", marker="D", markersize=3, capsize=1,
            linewidth=0.8, linestyle="none", label="published (bar: its sd over runs)",
        )  # fmt: skip


_WORDS = {
    "agrees": "ours: agrees",
    "above": "ours: agrees",
    "does not agree": "ours: does not agree",
    "below": "ours: does not agree",
}


def _label(row: Mapping[Any, Any]) -> str:
    names = [str(row[name]) for name in ("regime", "setting") if pd.notna(row[name]) and row[name]]
    entry = f"{row['entry']}: " if row["kind"] == "value" else ""
    return "\n".join(textwrap.wrap(entry + ", ".join(names), _LABEL))
