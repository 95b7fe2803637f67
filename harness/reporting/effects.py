"""The tables `effects` and `seeds` as people read them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.reporting.headline import headline, not_shown
from harness.reporting.numbers import UNKNOWN, ends, fixed, p_value, two_digits, with_interval
from harness.reporting.randomness import CONSTRUCTED
from harness.reporting.row_notes import common_notes, told_once, without

TEXT = ("effect", "contrast of", "comparison")
_ADDITIVE = (
    "One additive table per metric: the variance of the fixed effects over the levels of this grid (bias-corrected; its"
    " error terms are the matching interactions) beside the random components. Their sum, total, is the variance of one"
    " value drawn from this grid: a regime and a setting with equal chances, a new training replicate, prompt and draw."
)
_SIZES = (
    "The size of a fixed effect depends on the range that the grid covers: no share here is a property of dropout or of"
    " top-k. Range of this grid: {ranges}."
)
_CONTRAST = (
    "contrast: largest minus smallest mean over the levels of the effect, in the metric's own unit. It was picked after"
    " looking, so its interval is simultaneous over all pairs (Bonferroni: the levels share runs and prompts, so their"
    " errors are neither equal nor independent, as Tukey's range needs; Maxwell 1980, J. Educational Statistics 5:269)."
)
_INTERVALS = (
    "variance: estimate as it is, negative ones too, with a 95 % interval (generalised, Tsui and Weerahandi 1989, or"
    " Satterthwaite 1946). sd: root of the variance, 0 where that is negative."
)
_SEEDS = (
    "resolvable: smallest true difference that a two-sided test at 5 %, Holm-corrected for the family, finds in 80 % of"
    " studies of this size (noncentral t). wanted: what the grid asks for, or else half of what is resolvable now."
    " needed: how many training replicates, or prompts, or inference replicates would resolve it, each alone while the"
    " others stay as they are, from the components estimated here; few replicates make that a rough guess. -: more of"
    " that kind alone never does, or the metric has no such kind."
)
_SMALLEST = "smallest p: the lowest p that a sign-flip test can reach with n replicates, before any correction."


def effects_rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row per metric and effect; of a long table the headline metrics only."""
    shown = headline(table)
    common = common_notes(shown)
    rows = [
        {
            **{name: row[name] for name in ("task", "model", "split", "metric", "unit", "effect", "kind")},
            "n": _count(row["n"]),
            "variance": _variance(row),
            "95 % CI": ends(row["ci_low"], row["ci_high"]),
            "share %": UNKNOWN if pd.isna(row["share"]) else fixed(100 * row["share"], 1),
            "sd": two_digits(row["sd"]),
            "contrast [95 % CI]": _contrast(row),
            "contrast of": "" if pd.isna(row["contrast_what"]) else row["contrast_what"],
            "note": without(row["note"], common),
        }
        for row in shown.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _variance(row: dict[Any, Any]) -> str:
    constructed = row["variance"] == 0 and CONSTRUCTED in str(row["note"])
    return f"0 ({CONSTRUCTED})" if constructed else two_digits(row["variance"])


def _contrast(row: dict[Any, Any]) -> str:
    if row["kind"] != "fixed":
        return "-"
    return with_interval(row["contrast"], row["contrast_low"], row["contrast_high"])


def effects_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return ["No rows: effects need at least two regimes or two settings."]
    ranges = sorted({str(text) for text in table["range"].dropna() if text})
    return [
        _ADDITIVE,
        _SIZES.format(ranges="; ".join(ranges)),
        _CONTRAST,
        _INTERVALS,
        *told_once(headline(table)),
        *not_shown(table),
    ]


def seeds_rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row per comparison; of a long table the headline metrics only."""
    shown = headline(table)
    common = common_notes(shown)
    rows = [
        {
            **{name: row[name] for name in ("task", "model", "split", "metric", "unit", "comparison")},
            "n": _count(row["n"]),
            "sd of the difference": two_digits(row["sd_of_difference"]),
            "resolvable now": two_digits(row["resolvable"]),
            "wanted": two_digits(row["wanted"]),
            **{f"needed: {kind}": _count(row[f"needed_{kind}"]) for kind in ("training", "prompts", "inference")},
            "smallest p": p_value(row["smallest_p"]),
            "note": without(row["note"], common),
        }
        for row in shown.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _count(value: Any) -> str:
    """A number of replicates; not every unit has every kind."""
    if value == "" or pd.isna(value):
        return "-"
    return f"{value:.0f}" if isinstance(value, int | float) else str(value)


def seeds_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return [f"No rows: no difference has a spread over replicates ({UNKNOWN})."]
    return [_SEEDS, _SMALLEST, *told_once(headline(table)), *not_shown(table)]
