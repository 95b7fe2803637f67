"""Each figure with its data: the picture as a data URI, and the table of what it draws."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.reporting.figures.diversity import DIVERSITY
from harness.reporting.figures.learning import METRIC
from harness.reporting.figures.runs import ARM, rows_of, runs
from harness.reporting.page.view import TableView, plain_view, table_view

_MOST = 200
_MOST_SVG = 1_000_000  # bytes; above it the PNG is shown
_PANEL = 400.0  # points; one panel has 324
_BY_K = {"metric": tuple(metric for metric, _ in DIVERSITY)}
# What a figure is called, the report table it draws, and which of its rows.
FIGURES: dict[str, tuple[str, str, dict[str, tuple[str, ...]]]] = {
    "variance_shares": ("Shares of the variance", "randomness", {}),
    "generalization_gap": ("Generalisation gap by regime", "generalization", {"metric": ("loss",), "split": ("test",)}),
    "diversity_by_k": ("Generated texts against k", "generation", _BY_K),
    "effect_map": ("Dropout against top-k", "effects", {}),
    "contrast_forest": ("Regimes against the reference", "contrasts", {"family": ("regimes",)}),
    "published": ("Published numbers and ours", "published", {}),
    "dropout_rates": ("Dropout rates as applied", "", {}),
    "learning_curves": ("Learning curves", "", {}),
}


@dataclass(frozen=True)
class FigureView:
    """A figure of the page.

    Attributes:
        name: `NAME.svg` lies beside the page.
        title: what it shows.
        forms: the files of it beside the page, for example `("svg", "png")`.
        wide: whether it has several panels side by side: a phone scrolls it rather than makes it unreadable.
        uri: the picture.
        data: what it draws, or None where that is not known.
        csv: the file beside the page that holds every row of it.
    """

    name: str
    title: str
    forms: tuple[str, ...]
    wide: bool
    uri: str
    data: TableView | None
    csv: str


def figure_views(
    figures: Mapping[str, Mapping[str, bytes]], tables: Mapping[str, pd.DataFrame], drawn: Mapping[str, pd.DataFrame]
) -> dict[str, FigureView]:
    """The figures by name; see `harness.reporting.page.page` for the arguments."""
    return {name: _figure(name, forms, tables, drawn) for name, forms in figures.items()}


def _figure(
    name: str, forms: Mapping[str, bytes], tables: Mapping[str, pd.DataFrame], drawn: Mapping[str, pd.DataFrame]
) -> FigureView:
    title, source, rows = FIGURES.get(name, (name.replace("_", " "), "", {}))
    if name in drawn:
        return FigureView(
            name,
            title,
            tuple(forms),
            _wide(forms),
            _uri(forms),
            plain_view(f"data-{name}", drawn[name], _MOST),
            f"{name}.csv",
        )
    if source not in tables:
        return FigureView(name, title, tuple(forms), _wide(forms), _uri(forms), None, "")
    table = tables[source]
    for column, values in rows.items():
        table = table[table[column].isin(values)]
    view = table_view(source, table, most=_MOST, label=f"data-{name}")
    return FigureView(name, title, tuple(forms), _wide(forms), _uri(forms), view, f"{source}.csv")


def _uri(forms: Mapping[str, bytes]) -> str:
    """An image element runs no script of an SVG and fetches nothing for it."""
    large = len(forms.get("svg", b"")) > _MOST_SVG and "png" in forms
    form, kind = ("svg", "image/svg+xml") if "svg" in forms and not large else ("png", "image/png")
    return f"data:{kind};base64,{base64.b64encode(forms[form]).decode()}"


def _wide(forms: Mapping[str, bytes]) -> bool:
    width = re.search(rb'<svg[^>]* width="([0-9.]+)pt"', forms.get("svg", b"")[:4000])
    return width is not None and float(width[1]) > _PANEL


def of_runs(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> dict[str, pd.DataFrame]:
    """What the figures `learning_curves` and `dropout_rates` draw, as far as the store's tables have it.

    Args:
        tables: the store's tables `training`, `history` and `rates`.
        regimes: the grid's regimes; rows are in their order.
    """
    found = {"learning_curves": _curves(tables), "dropout_rates": _rates(tables)}
    return {name: _by_regime(frame, regimes) for name, frame in found.items() if len(frame)}


def _by_regime(frame: pd.DataFrame, regimes: Sequence[str]) -> pd.DataFrame:
    ranks = {regime: rank for rank, regime in enumerate(regimes)}
    ranked = frame.assign(rank=frame["regime"].map(ranks)).sort_values(["task", "model", "rank"], kind="stable")
    return ranked.drop(columns="rank").reset_index(drop=True)


def _curves(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """By arm and step the mean, lowest and highest validation loss, of steps that every replicate reached."""
    rows = rows_of(tables, "history", runs(tables))
    rows = rows[rows["metric"] == METRIC]
    if rows.empty:
        return pd.DataFrame()
    by_step = rows.groupby([*ARM, "step"])["value"]
    steps = pd.DataFrame(
        {"mean": by_step.mean(), "lowest": by_step.min(), "highest": by_step.max(), "replicates": by_step.size()}
    ).reset_index()
    runs_of_arm = rows.groupby(ARM)["uid"].nunique().rename("runs").reset_index()
    whole = steps.merge(runs_of_arm, on=ARM)
    return whole[whole["replicates"] == whole["runs"]].drop(columns="runs")


def _rates(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """By arm and site the rate from each step on, of the lowest replicate."""
    rows = rows_of(tables, "rates", runs(tables).drop_duplicates(ARM))
    awake = rows[rows.groupby(ARM)["rate"].transform("max") > 0] if len(rows) else rows
    return awake[[*ARM, "site", "step", "rate"]].sort_values([*ARM, "site", "step"], kind="stable")
