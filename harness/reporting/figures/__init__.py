"""Figures, drawn without pyplot's global state and byte-identical whenever they are drawn again."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.reporting.figures.diversity import diversity_by_k
from harness.reporting.figures.effect_map import effect_map
from harness.reporting.figures.forest import contrast_forest
from harness.reporting.figures.gap import generalization_gap
from harness.reporting.figures.learning import learning_curves
from harness.reporting.figures.published import published_and_ours
from harness.reporting.figures.rates import dropout_rates
from harness.reporting.figures.style import STYLE
from harness.reporting.figures.variance_shares import variance_shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
_PLACES = 5
_FIGURES = {
    "variance_shares": variance_shares,
    "generalization_gap": generalization_gap,
    "diversity_by_k": diversity_by_k,
    "effect_map": effect_map,
    "contrast_forest": contrast_forest,
    "dropout_rates": dropout_rates,
    "learning_curves": learning_curves,
    "published": published_and_ours,
}
FIGURES = tuple(_FIGURES)


def draw(name: str, tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> dict[str, bytes] | None:
    """One figure as `{"svg": ..., "png": ...}`, or None where the tables have nothing to draw.

    Args:
        name: one of FIGURES.
        tables: what `report_tables` gives, and the store's tables `training`, `rates` and `history`.
        regimes: the grid's regimes; a regime has one colour in all figures.
    """
    from matplotlib import style

    with style.context(["default", STYLE]):
        figure = _FIGURES[name](tables, regimes)
        if figure is None:
            return None
        _settle(figure)
        return {form: _rendered(figure, form) for form in ("svg", "png")}


def _settle(figure: Figure) -> None:
    """Lays the axes out and rounds where they are.

    The last bits of the layout's solution differ from draw to draw, and SVG names its clipping paths after all bits.
    """
    figure.set_dpi(_DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axis in figure.axes:
        left, bottom, width, height = (round(value, _PLACES) for value in axis.get_position().bounds)
        axis.set_position((left, bottom, width, height))


def _rendered(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    silent: dict[str, Any] = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    figure.savefig(buffer, format=form, dpi=_DPI, metadata=silent)
    return buffer.getvalue()
