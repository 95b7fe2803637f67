"""Writes a report: every table in three forms and every figure in two."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from harness.files import write_atomically
from harness.reporting.figures import FIGURES, draw
from harness.reporting.notes import footnotes
from harness.reporting.tables import report_tables, to_csv, to_latex, to_markdown
from harness.spec.published_forms import PublishedNumber


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def write_report(
    tables: Mapping[str, pd.DataFrame],
    out: Path,
    *,
    name: str,
    reference: str,
    regimes: Sequence[str],
    notes: Sequence[str] = (),
    published: Sequence[PublishedNumber] = (),
    say: Callable[[str], None] = _to_stderr,
    built: Mapping[str, pd.DataFrame] | None = None,
) -> list[Path]:
    """Writes the report of one grid; the same tables give the same bytes.

    Args:
        tables: the store's tables `training`, `cells`, where texts were generated `generation_metrics`, and for the
            figures of single runs `rates` and `history`.
        out: the folder; it is made. Files of an earlier report are replaced, or removed where nothing is left to draw.
        name: the grid's name, for titles.
        reference: the regime that the others are compared with.
        regimes: the grid's regimes, in its order.
        notes: what the tasks want a reader to know about their splits.
        published: the published numbers that the grid names.
        built: `report_tables` of the same tables, where the caller has it already.
        say: takes one line for each figure that has nothing to draw.

    Returns:
        The files written, in the order of writing.

    Raises:
        ValueError: the tables contradict themselves (see harness.analysis); nothing is written then.
        OSError: the folder cannot be written.
    """
    built = dict(built or report_tables(tables, reference=reference, regimes=regimes, published=published))
    out.mkdir(parents=True, exist_ok=True)
    written = [path for table in built for path in _write_table(out, name, table, built[table], reference, notes)]
    for figure in FIGURES:
        written += _write_figure(out, figure, draw(figure, {**tables, **built}, regimes), say)
    return written


def _write_table(
    out: Path, name: str, table: str, content: pd.DataFrame, reference: str, notes: Sequence[str]
) -> list[Path]:
    title, lines = f"{name}: {table}", footnotes(table, content, reference, notes)
    forms = {
        "csv": to_csv(content),
        "md": to_markdown(table, content, title, lines),
        "tex": to_latex(table, content, title, lines),
    }
    return [write_atomically(out / f"{table}.{form}", text.encode()) for form, text in forms.items()]


def _write_figure(out: Path, name: str, forms: Mapping[str, bytes] | None, say: Callable[[str], None]) -> list[Path]:
    if forms is None:
        for stale in (out / f"{name}.svg", out / f"{name}.png"):
            stale.unlink(missing_ok=True)
        say(f"figure {name} is left out: the grid gave nothing to draw")
        return []
    return [write_atomically(out / f"{name}.{form}", content) for form, content in forms.items()]
