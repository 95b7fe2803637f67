"""The tables `roles` and `noise_floor` as people read them, and what must be known to read them rightly."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from harness.analysis.roles import GIVEN, MERGED, TOTAL
from harness.reporting.numbers import UNKNOWN, fixed, interval, two_digits

# Columns of these tables that hold names.
TEXT = ["role", "quantity", "design"]
_NAMED = ("task", "model", "regime", "split", "metric")


def roles_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table `roles` as text. A variance's interval is lopsided and wide: both ends have two digits of their own."""
    rows = [
        {
            **{name: row[name] for name in (*_NAMED, "role", "quantity")},
            "n": row["n"],
            "variance": two_digits(row["variance"]),
            "95 % CI": _ends(row["low"], row["high"]),
            "share %": _percent(row["share"]),
            "95 % CI of the share %": _percents(row["share_low"], row["share_high"]),
            "note": row["note"],
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def noise_floor_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table `noise_floor` as text."""
    rows = [
        {
            **{name: row[name] for name in _NAMED},
            "repeats": row["repeats"],
            "largest difference": "" if row["texts"] else _difference(row["largest_difference"]),
            "texts": row["texts"] or "",
            "differing texts": _percent(row["differing_texts"]) if row["texts"] else "",
            "note": row["note"],
        }
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows)


def roles_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return [
            "No rows: in a joint design all training roles change together and cannot be told apart"
            " (replicates.training.design: crossed or isolated)."
        ]
    lines = _isolated() if GIVEN in set(table["quantity"]) else _crossed()
    if table["note"].str.contains(MERGED, regex=False).any():
        lines.append(f"{MERGED}: the role decides nothing in that arm, for example the masks without dropout.")
    return [*lines, "Variances are in the metric's squared unit; n: distinct runs; n/a: not estimable."]


def _crossed() -> list[str]:
    return [
        "crossed: method of moments on the balanced table of runs, all roles random; negative estimates are shown as"
        " they are. Interactions have a row each; the highest holds the residual: there is one run per combination.",
        f"{TOTAL}: the sum of all components that contain the role, interactions included; totals overlap, so their"
        " shares add up to more than 100 %. Shares are of the variance of one run with every varied role drawn anew.",
        "95 % CI, for normal effects: of variances modified large-sample ones (Graybill and Wang 1980), of shares"
        " generalised ones (Tsui and Weerahandi 1989). With few levels they are wide: read the interval, not the share."
        " Roles that the design holds at level 0 are in no number.",
    ]


def _isolated() -> list[str]:
    return [
        f"{GIVEN}: variance over the levels of one role while every other role stays at level 0. It holds the role's"
        " interactions at that one level; it is no component of variance, has no share, and the rows do not add up.",
        "95 % CI: chi-square, for normal values; n - 1 degrees of freedom.",
    ]


def noise_floor_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return ["No rows: no identical-seed repeat has finished (replicates.repeats)."]
    lines = [
        "largest difference: largest absolute difference between an identical-seed repeat and its first run, in the"
        " metric's own unit: what is left when nothing differs, not even a seed. Differences between arms below it mean"
        " nothing. 0: equal to the last bit.",
        "One arm per task and model is repeated: the first with dropout, or the first.",
    ]
    if (table["texts"] > 0).any():
        lines.append(
            "differing texts: share of the repeats' texts that are not token for token those of the first run."
        )
    return lines


def _difference(value: float) -> str:
    return str(value) if math.isinf(value) else two_digits(value)


def _ends(low: float, high: float) -> str:
    return UNKNOWN if math.isnan(low) else f"[{two_digits(low)}, {two_digits(high)}]"


def _percent(share: Any) -> str:
    return fixed(100 * float(share), 1)


def _percents(low: float, high: float) -> str:
    return interval(100 * low, 100 * high)
