"""The report's tables and their three forms: CSV with every digit, Markdown and LaTeX rounded to the uncertainty."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.cells import cells_table
from harness.analysis.claims import claims
from harness.analysis.comparisons import comparisons
from harness.analysis.contrasts import contrasts
from harness.analysis.effects import effects
from harness.analysis.generalization import generalization
from harness.analysis.generation import generation
from harness.analysis.noise_floor import noise_floor
from harness.analysis.published import published_table
from harness.analysis.randomness import randomness
from harness.analysis.roles import roles
from harness.analysis.seeds import seeds
from harness.analysis.study import study_of
from harness.analysis.texts import METRICS
from harness.reporting.claims import TEXT as CLAIMS_TEXT
from harness.reporting.claims import claims_rows
from harness.reporting.contrasts import TEXT as CONTRASTS_TEXT
from harness.reporting.contrasts import better, comparisons_rows, contrasts_rows
from harness.reporting.effects import TEXT as EFFECTS_TEXT
from harness.reporting.effects import effects_rows, seeds_rows
from harness.reporting.generation import TEXT as GENERATION_TEXT
from harness.reporting.generation import generation_rows
from harness.reporting.numbers import fixed, interval, p_value, rounded, two_digits, with_interval
from harness.reporting.published import TEXT as PUBLISHED_TEXT
from harness.reporting.published import published_rows
from harness.reporting.randomness import TEXT as RANDOMNESS_TEXT
from harness.reporting.randomness import randomness_rows
from harness.reporting.roles import TEXT as ROLES_TEXT
from harness.reporting.roles import noise_floor_rows, roles_rows
from harness.spec.published_forms import PublishedNumber

# Columns of the readable forms that hold names or free text; everything else is a number that was formatted here.
TEXT = ["task", "model", "regime", "split", "metric", "unit", "note", *GENERATION_TEXT]
TEXT += ["cell", "status", "reason", "uid", "kind", *PUBLISHED_TEXT, *ROLES_TEXT]
TEXT += [*RANDOMNESS_TEXT, *CONTRASTS_TEXT, *EFFECTS_TEXT, *CLAIMS_TEXT]
_LONG = 60

_MARKDOWN = {character: "\\" + character for character in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_LATEX = {character: "\\" + character for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def report_tables(
    tables: Mapping[str, pd.DataFrame],
    *,
    reference: str,
    regimes: Sequence[str],
    published: Sequence[PublishedNumber] = (),
    seed: int = 0,
    resolve: Mapping[str, float] | None = None,
) -> dict[str, pd.DataFrame]:
    """The tables of a report, unrounded, in the order in which a reader wants them.

    Args:
        tables: the store's tables `training`, `cells` and, where they are, `predictions`, `history`, `regimes` and,
            where texts were generated, `generation_metrics` and `repeated_texts`.
        reference: the regime that the others are compared with.
        regimes: the grid's regimes, in its order.
        published: the published numbers that the grid names.
        seed: the study seed; every draw of the analysis follows from it.
        resolve: the differences by metric that the grid wants to see, for table `seeds`.

    Raises:
        ValueError: the tables contradict themselves; see harness.analysis.
    """
    training, cells = tables["training"], tables["cells"]
    metrics = tables.get("generation_metrics")
    if metrics is None or metrics.empty:
        metrics = pd.DataFrame(columns=METRICS)
    repeats = frozenset(training.loc[training["repeat"] != 0, "uid"])
    study = study_of(tables, reference=reference, regimes=regimes, seed=seed)
    return {
        "claims": claims(study),
        "randomness": randomness(study),
        "effects": effects(study),
        "contrasts": contrasts(study),
        "comparisons": comparisons(study),
        "seeds": seeds(study, resolve),
        "generalization": generalization(training, cells, reference=reference, regimes=regimes),
        "generation": generation(metrics, cells, regimes=regimes, repeats=repeats, training=training),
        "roles": roles(training, cells, regimes=regimes),
        "noise_floor": noise_floor(training, cells, regimes=regimes, texts=tables.get("repeated_texts")),
        "published": published_table(published, training, cells, regimes=regimes, metrics=metrics),
        "cells": cells_table(cells, regimes),
    }


def readable(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """A report table as text: names, and numbers rounded to their uncertainty."""
    shown = _FORMS[name](table)
    return shown.map(lambda value: "" if pd.isna(value) else str(value))


def to_csv(table: pd.DataFrame) -> str:
    """Every column with every digit (the shortest form that reads back as the same float)."""
    return table.to_csv(index=False, lineterminator="\n")


def to_markdown(name: str, table: pd.DataFrame, title: str, footnotes: Sequence[str]) -> str:
    """A GitHub table below a title, with footnotes as a list. Names are text, never markup."""
    from tabulate import tabulate

    shown = _escaped(readable(name, table), escape_markdown)
    body = tabulate(shown.to_numpy().tolist(), headers=list(shown.columns), tablefmt="github", disable_numparse=True)
    notes = "".join(f"- {escape_markdown(note)}\n" for note in footnotes)
    return f"# {escape_markdown(title)}\n\n{body if len(shown) else 'No rows.'}\n\n{notes}"


def to_latex(name: str, table: pd.DataFrame, title: str, footnotes: Sequence[str]) -> str:
    """A booktabs table (longtable above 60 rows), to be read with `\\input`; title and footnotes are comments."""
    shown = _escaped(readable(name, table), escape_latex)
    for column in shown.columns.difference(TEXT):
        shown[column] = shown[column].str.replace(r"(?<![\w.])-(?=\d)", "$-$", regex=True)
    shown.columns = pd.Index([escape_latex(column) for column in shown.columns])
    lines = [title, "Needs \\usepackage{booktabs,longtable}.", *footnotes]
    comments = "".join(f"% {' '.join(line.split())}\n" for line in lines)
    if shown.empty:
        return comments + "% No rows.\n"
    form = "".join(_alignment(column, cells) for column, cells in readable(name, table).items())
    return comments + shown.to_latex(index=False, escape=False, column_format=form, longtable=len(shown) > _LONG)


def _alignment(column: Any, cells: pd.Series[str]) -> str:
    """Names to the left, numbers to the right, and long text folded."""
    if column not in TEXT:
        return "r"
    return "p{6cm}" if cells.str.len().max() > _LONG else "l"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return "".join(_MARKDOWN.get(character, character) for character in " ".join(text.split()))


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is, on one line."""
    escaped = "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
    return re.sub(r"^\[", "{[}", escaped)


def _escaped(shown: pd.DataFrame, escape: object) -> pd.DataFrame:
    assert callable(escape)
    columns = [column for column in shown.columns if column in TEXT]
    return shown.assign(**{column: shown[column].map(escape) for column in columns})


def _generalization(table: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            **{factor: row[factor] for factor in ("task", "model", "regime", "split", "metric")},
            "n": row["n"],
            "undefined": row["undefined"],
            "mean": rounded(row["mean"], row["ci_low"], row["ci_high"]),
            "95 % CI": interval(row["ci_low"], row["ci_high"]),
            "sd": two_digits(row["sd"]),
            "gap to train": with_interval(row["gap"], row["gap_low"], row["gap_high"]),
            "difference": with_interval(row["difference"], row["difference_low"], row["difference_high"]),
            "pairs": row["n_pairs"],
            "r": fixed(row["pair_correlation"], 2),
            "adjusted p": "" if pd.isna(row["p_adjusted"]) else p_value(row["p_adjusted"]),
            "P(better)": "" if pd.isna(row["better"]) else better(row),
            "failed": row["failed"],
            "failure rate": _share(row["failure_rate"], row["failure_low"], row["failure_high"]),
            "missing": row["missing"],
            "cost": "" if pd.isna(row["cost"]) else f"{row['cost']:.0f}x",
            "note": row["note"],
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _share(rate: float, low: float, high: float) -> str:
    """For example `.20 [.01, .72]`."""
    if pd.isna(rate):
        return ""
    return fixed(rate, 2) if pd.isna(low) else f"{fixed(rate, 2)} [{fixed(low, 2)}, {fixed(high, 2)}]"


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    return table[["cell", "kind", "status", "reason", "uid"]]


_FORMS = {
    "generalization": _generalization,
    "generation": generation_rows,
    "roles": roles_rows,
    "noise_floor": noise_floor_rows,
    "published": published_rows,
    "cells": _cells,
    "randomness": randomness_rows,
    "contrasts": contrasts_rows,
    "comparisons": comparisons_rows,
    "effects": effects_rows,
    "seeds": seeds_rows,
    "claims": claims_rows,
}
