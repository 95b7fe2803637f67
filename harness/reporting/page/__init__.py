"""The report as one self-contained page, `index.html`: nothing is fetched, and nothing that a model wrote can run.

The page is text and tables first: without JavaScript the summary, claims, figures and the first rows of every table
are there. JavaScript only sorts, filters and shows more rows. A Content-Security-Policy forbids every connection and
every script but the page's own, which it names by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd

import harness
from harness.reporting.page.claims import claims_view
from harness.reporting.page.drawn import figure_views
from harness.reporting.page.samples import TEXT_COLUMNS, sample_views
from harness.reporting.page.sections import sections_of
from harness.reporting.page.values import sort_value
from harness.reporting.page.view import table_view

__all__ = ["TEXT_COLUMNS", "page"]

# Characters that no HTML file may hold; generated texts and reasons of failures may.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def page(
    name: str,
    description: str,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Mapping[str, bytes]],
    texts: pd.DataFrame | None,
    footnotes: Mapping[str, Sequence[str]],
    summary: Sequence[str],
    methods: str,
    environments: Sequence[Mapping[str, str]],
    drawn: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """The page as HTML; the same arguments give the same bytes.

    Args:
        name: the grid's name.
        description: what the grid is about, in the user's words; may be empty.
        tables: the report's tables by name, unrounded.
        figures: by name `{"svg": ..., "png": ...}`; the SVG is shown.
        texts: the store's table `generations` (at least TEXT_COLUMNS), or None.
        footnotes: by table what a reader must know.
        summary: sentences, plain text.
        methods: a paragraph for a paper, plain text; empty lines part paragraphs.
        environments: the environments of the stored cells, each a mapping such as `{"torch": "2.13.0"}`.
        drawn: what a figure draws where that is no table of the report; see `harness.reporting.page.drawn.of_runs`.
    """
    regimes = _regimes(tables)
    views = {table: table_view(table, rows, footnotes.get(table, ())) for table, rows in tables.items()}
    pictures = figure_views(figures, tables, drawn or {})
    style, script = _asset("page.css"), _asset("page.js")
    text = _template().render(
        name=name,
        description=description,
        summary=summary,
        claims=claims_view(tables.get("claims")),
        claims_table=views.get("claims"),
        sections=sections_of(views, pictures),
        samples=sample_views(texts, regimes),
        methods=[part.strip() for part in methods.split("\n\n") if part.strip()],
        environments=_environments(environments),
        version=harness.__version__,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    return _UNFIT.sub("\ufffd", text)


def _regimes(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """The grid's regimes in its order, as the first table that has them names them."""
    table = tables.get("generalization")
    return [] if table is None or table.empty else [str(name) for name in dict.fromkeys(table["regime"])]


def _environments(environments: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """A row per fact: its name, its value in each environment, and whether they differ."""
    facts = sorted({fact for one in environments for fact in one})
    rows = [(fact, [str(one.get(fact, "")) for one in environments]) for fact in facts]
    return [{"fact": fact, "values": values, "differs": len(set(values)) > 1} for fact, values in rows]


@cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A source expression of Content-Security-Policy level 2."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = sort_value
    return environment.from_string(_asset("page.html"))
