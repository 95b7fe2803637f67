"""The table `claims` as people read it."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.hypotheses import CLAIM, CONSTRUCTED, HYPOTHESES, VERDICTS
from harness.reporting.numbers import UNKNOWN, p_value, two_digits, with_interval

TEXT = ("claim", "statement", "what", "verdict")
_VERDICT = (
    "A verdict is of this task, model and grid. supported: the interval lies where the claim says. not supported: the"
    " evidence is against it. undecided: too little evidence either way. not applicable: the grid has not what the"
    " claim needs; the note says what."
)
_P = (
    "adjusted p: Holm's correction (Holm 1979, Scandinavian Journal of Statistics) over the claims of one task and"
    " model. Claims that two things are alike or a loss is small use one-sided tests against the stated margin"
    " (two one-sided tests: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics), never the absence of"
    " significance. A verdict goes both ways, so every p is twice that of one side (2.5 % each side)."
)
_POPULATION = (
    "Intervals of scores are over training replicates alone: they speak of new runs on this test set, not of new"
    " examples (table contrasts has the interval over both). Those of texts are over replicates and prompts."
)
_MORE = (
    "more replicates: training replicates to add until the claim would be decided if the estimate and its spread stay"
    " as they are; a rough guess."
)
_CONSTRUCTED = "by construction: holds because of how training and sampling work; it is a check, not a finding."


def claims_rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row per claim, task and model: claims first, then what holds by construction."""
    order = table["kind"].eq(CONSTRUCTED).sort_values(kind="stable").index
    return pd.DataFrame([_row(row) for row in table.loc[order].to_dict("records")])


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("kind", "claim", "statement", "task", "model", "verdict", "metric", "what")},
        "estimate [95 % CI]": _known(row, "estimate"),
        "margin": "" if pd.isna(row["margin"]) else two_digits(row["margin"]),
        "p": "" if pd.isna(row["p"]) else p_value(row["p"]),
        "adjusted p": "" if pd.isna(row["p_adjusted"]) else p_value(row["p_adjusted"]),
        "n": row["n"],
        "more replicates": _more(row["more_replicates"]),
        "note": row["note"],
    }


def _known(row: dict[Any, Any], name: str) -> str:
    value = row[name]
    return "" if pd.isna(value) else with_interval(value, row["ci_low"], row["ci_high"])


def _more(value: Any) -> str:
    if value == "" or pd.isna(value):
        return ""
    return f"{value:.0f}" if isinstance(value, int | float) else str(value)


def claims_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return ["No rows: no claim was evaluated."]
    counts = table[table["kind"] == CLAIM]["verdict"].value_counts()
    told = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)
    lines = [f"Of the claims: {told or UNKNOWN}.", _VERDICT, _P, _POPULATION]
    if any(_more(value) for value in table["more_replicates"]):
        lines.append(_MORE)
    lines += [_CONSTRUCTED] if (table["kind"] == CONSTRUCTED).any() else []
    named = set(table["claim"])
    return [*lines, *(f"{claim.id} holds if: {claim.holds}." for claim in HYPOTHESES if claim.id in named)]
