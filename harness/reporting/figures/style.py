"""What all figures share: colours, canvas, titles and legends.

Colours: Okabe and Ito (2008), "Color Universal Design", told apart by readers with colour-vision deficiency; markers
and dashes repeat the distinction for print. Their yellow is darkened: on white it cannot be read.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#B8A600")
MARKERS = "osD^vPX*"
DASHES = ("-", "--", ":", "-.")
STYLE: dict[str, Any] = {
    "svg.hashsalt": "twodice",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def look(regime: str, regimes: Sequence[str]) -> dict[str, Any]:
    """Colour and marker of a regime: the same in all figures."""
    index = list(regimes).index(regime)
    return {
        "color": PALETTE[index % len(PALETTE)],
        "marker": MARKERS[(index + index // len(PALETTE)) % len(MARKERS)],
        "markersize": 4,
    }


def line_look(regime: str, regimes: Sequence[str]) -> dict[str, Any]:
    """Colour and dashes of a regime, for lines of many points."""
    index = list(regimes).index(regime)
    dashes = DASHES[(index + index // len(PALETTE)) % len(DASHES)]
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": dashes, "linewidth": 1.2}


def canvas(
    rows: int, columns: int, height: float, extra: float = 0.5, ratios: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure without pyplot, and its axes row by row; height is of one row, in inches, or the mean with ratios."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.5, 3.4 * columns), height * rows + extra), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False, height_ratios=ratios).flat)


def hide(axes: Iterable[Axes]) -> None:
    """Empties the places of a grid of axes that have no panel."""
    for axis in axes:
        axis.set_visible(False)


def legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, each label once."""
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=2, frameon=False)


def title_of(key: Iterable[object], width: int = 44) -> str:
    """Factors as a title, folded at so many characters."""
    return "\n".join(textwrap.wrap(" / ".join(map(str, key)), width, break_on_hyphens=False))
