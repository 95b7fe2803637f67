"""The claims as a list: each statement once, with a verdict for every task and model."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.hypotheses import CONSTRUCTED, NOT_APPLICABLE, UNDECIDED, VERDICTS
from harness.reporting.numbers import p_value, with_interval

# Verdicts of one statement that a page shows without being asked.
_FEW = 4


def claims_view(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Each statement as `{statement, kind, counts, verdicts, open}`; what holds by construction comes last.

    A verdict is `{verdict, where, what, estimate, remark}`, all text.

    Args:
        table: the report table `claims`, or None where there is none.
    """
    if table is None or table.empty:
        return []
    groups = table.groupby(["kind", "claim"], sort=False)
    views = [_claim(str(kind), rows.to_dict("records")) for (kind, _), rows in groups]
    return sorted(views, key=lambda view: view["kind"] == CONSTRUCTED)


def _claim(kind: str, rows: list[dict[Any, Any]]) -> dict[str, Any]:
    verdicts = [_verdict(row) for row in rows]
    found = [view["verdict"] for view in verdicts]
    return {
        "kind": kind,
        "statement": str(rows[0]["statement"]),
        "counts": [(verdict, found.count(verdict)) for verdict in VERDICTS if verdict in found],
        "verdicts": verdicts,
        "open": len(verdicts) <= _FEW,
    }


def _verdict(row: dict[Any, Any]) -> dict[str, str]:
    return {
        "verdict": str(row["verdict"]),
        "where": " / ".join(filter(None, (_text(row[name]) for name in ("task", "model", "metric")))),
        "estimate": "; ".join(filter(None, [_estimate(row), _p(row["p_adjusted"])])),
        "what": _text(row["what"]),
        "remark": _remark(row),
    }


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _remark(row: dict[Any, Any]) -> str:
    """Why there is no verdict, or what would give one."""
    if row["verdict"] == NOT_APPLICABLE:
        return _text(row["note"])
    more = row["more_replicates"]
    if row["verdict"] != UNDECIDED or pd.isna(more) or more == "":
        return ""
    return f"about {more:.0f} more training replicates would decide" if isinstance(more, int | float) else str(more)


def _estimate(row: dict[Any, Any]) -> str:
    if pd.isna(row["estimate"]):
        return ""
    return with_interval(float(row["estimate"]), float(row["ci_low"]), float(row["ci_high"]))


def _p(value: Any) -> str:
    if pd.isna(value):
        return ""
    text = p_value(float(value))
    return f"adjusted p {text}" if text.startswith("<") else f"adjusted p = {text}"
