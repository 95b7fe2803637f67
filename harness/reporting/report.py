"""Writes a report: every table in three forms, every figure in two, the words, and all together in one page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from harness.files import write_atomically
from harness.reporting.figures import FIGURES, draw
from harness.reporting.methods import methods
from harness.reporting.notes import footnotes
from harness.reporting.page import page
from harness.reporting.page.drawn import of_runs
from harness.reporting.summary import summary
from harness.reporting.tables import escape_markdown, report_tables, to_csv, to_latex, to_markdown
from harness.spec.published_forms import PublishedNumber


def to_stderr(line: str) -> None:
    """Tells a person a line."""
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
    say: Callable[[str], None] = to_stderr,
    built: Mapping[str, pd.DataFrame] | None = None,
    seed: int = 0,
    description: str = "",
    environments: Sequence[Mapping[str, str]] = (),
    own_runs: bool = True,
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
        seed: the study seed, for `report_tables`.
        description: what the grid is about, in the user's words.
        environments: those of the stored cells.
        own_runs: whether twodice made the runs; a user's own scores do not tell how they were made.

    Returns:
        The files written, in the order of writing.

    Raises:
        ValueError: the tables contradict themselves (see harness.analysis); nothing is written then.
        OSError: the folder cannot be written.
    """
    if built is None:
        built = report_tables(tables, reference=reference, regimes=regimes, published=published, seed=seed)
    built = dict(built)
    out.mkdir(parents=True, exist_ok=True)
    notes_of = {table: footnotes(table, content, reference, notes) for table, content in built.items()}
    written = [path for table in built for path in _write_table(out, name, table, built[table], notes_of[table])]
    figures = {figure: draw(figure, {**tables, **built}, regimes) for figure in FIGURES}
    for figure, forms in figures.items():
        written += _write_figure(out, figure, forms, say)
    drawn = of_runs(tables, regimes)
    for stale in [figure for figure in FIGURES if figure not in drawn and figure not in built]:
        (out / f"{stale}.csv").unlink(missing_ok=True)
    written += [write_atomically(out / f"{figure}.csv", to_csv(rows).encode()) for figure, rows in drawn.items()]
    sentences, paragraph = summary(built), methods(built, own_runs=own_runs)
    texts = {
        "summary.md": _prose(f"{name}: summary", [f"- {escape_markdown(sentence)}" for sentence in sentences]),
        "methods.md": _prose(f"{name}: methods", [escape_markdown(paragraph)]),
        "index.html": page(
            name,
            description,
            built,
            {figure: forms for figure, forms in figures.items() if forms is not None},
            tables.get("generations"),
            notes_of,
            sentences,
            paragraph,
            environments,
            drawn,
        ),
    }
    return written + [write_atomically(out / file, text.encode()) for file, text in texts.items()]


def _prose(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"# {escape_markdown(title)}", "", *lines, ""])


def _write_table(out: Path, name: str, table: str, content: pd.DataFrame, lines: Sequence[str]) -> list[Path]:
    title = f"{name}: {table}"
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
