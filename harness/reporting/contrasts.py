"""The tables `contrasts` and `comparisons` as people read them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.reporting.headline import headline, not_shown, setting_text
from harness.reporting.numbers import UNKNOWN, fixed, interval, p_value, rounded, with_interval

TEXT = ("family", "compared", "setting", "pairing", "reading", "estimator")
ALPHA = 0.05
_NAMED = ("task", "model", "split", "metric", "unit")

_DIFFERENCE = (
    "difference: mean of the paired differences, with a 95 % interval: Student's t with Satterthwaite's degrees of"
    " freedom (Satterthwaite 1946, Biometrics). Regimes are paired by training replicate, settings by training"
    " replicate, prompt and decoding level; dropout masks pair nothing. r: correlation of the pairs."
)
_HOLM = (
    "adjusted p: paired t test, Holm's correction (Holm 1979, Scandinavian Journal of Statistics) over the family:"
    " the regimes of one task, model, split, metric and setting, or the settings of one task, model, metric and regime."
)
_BETTER = (
    "P(better): share of training replicates in which the first wins, ties count half, with the exact interval of"
    " Clopper and Pearson (1934, Biometrika); of a metric without a direction the share in which the first is larger."
)
_READING = (
    "reading: the rule of Bouthillier et al. (2021, MLSys) for P(better), from 10 replicates on: significant where the"
    " interval lies above .5, meaningful where it reaches beyond .75."
)
_SIGNS = (
    "sign-flip p: exact test over all sign changes, from 8 replicates on; smallest: no data could give a lower one."
)
_COMPARED = (
    "For comparison with other work only: these intervals resample few levels and cover less than they say (with 3 to"
    " 10 seeds about 74 to 89 % instead of 95 %). The report's own intervals are in the table contrasts."
)
_ESTIMATORS = {
    "multi": "multi-bootstrap: seeds and examples resampled together, paired (Sellam et al. 2022, MultiBERTs, ICLR).",
    "iqm": "IQM: interquartile mean (Agarwal et al. 2021, NeurIPS).",
}


def contrasts_rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row per difference; of a long table the headline metrics only. Columns that say nothing are left out."""
    shown = pd.DataFrame([_row(row) for row in headline(table).to_dict("records")])
    idle = [name for name in ("reading", "sign-flip p") if len(shown) and not (shown[name] != "").any()]
    return shown.drop(columns=idle)


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    factors = {name: row[name] for name in _NAMED}
    return {
        "family": row["family"],
        **{name: factors.pop(name) for name in ("task", "model", "split")},
        "compared": compared(row),
        "setting": setting_text(row) if row["family"] == "regimes" else "",
        **factors,
        "n": _count(row["n"]),
        "n prompts": _count(row["n_prompts"]),
        "mean": rounded(row["mean"], row["ci_low"], row["ci_high"]),
        "reference": rounded(row["reference_mean"], row["ci_low"], row["ci_high"]),
        "difference": rounded(row["difference"], row["ci_low"], row["ci_high"]),
        "95 % CI": interval(row["ci_low"], row["ci_high"]),
        "r": fixed(row["correlation"], 2),
        "p": p_value(row["p"]),
        "adjusted p": p_value(row["p_adjusted"]),
        "P(better)": better(row),
        "reading": "" if pd.isna(row["reading"]) else row["reading"],
        "sign-flip p": _sign_flip(row),
        "pairing": row["pairing"],
        "note": row["note"],
    }


def _count(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.0f}"


def compared(row: dict[Any, Any]) -> str:
    """What is compared with what: `standard-0.1 - none`, or `k=5 - k=all (none)`."""
    if row["family"] == "settings":
        return f"{setting_text(row)} - {row['reference_setting']} ({row['regime']})"
    return f"{row['regime']} - {row['reference']}"


def better(row: dict[Any, Any]) -> str:
    """For example `0.75 [0.35, 0.97]`."""
    if pd.isna(row["better"]):
        return UNKNOWN
    ends = f"[{fixed(row['better_low'], 2)}, {fixed(row['better_high'], 2)}]"
    return fixed(row["better"], 2) if pd.isna(row["better_low"]) else f"{fixed(row['better'], 2)} {ends}"


def _sign_flip(row: dict[Any, Any]) -> str:
    if pd.isna(row["sign_flip_p"]):
        return ""
    return f"{p_value(row['sign_flip_p'])} (smallest {p_value(row['sign_flip_smallest'])})"


def contrasts_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return ["No rows: nothing to compare; a grid needs a second regime or a second setting."]
    shown = headline(table)
    read = shown["reading"].fillna("").astype(str).ne("").any()
    unpaired = [f"{_pairs(shown)} rows are not paired: see the columns pairing and note."] if _pairs(shown) else []
    return [
        _DIFFERENCE,
        _HOLM,
        _BETTER,
        *([_READING] if read else []),
        *([_SIGNS] if shown["sign_flip_p"].notna().any() else []),
        "A difference whose interval contains 0 is not a finding; that it is small is another claim (table claims).",
        *unpaired,
        *not_shown(table),
    ]


def _pairs(shown: pd.DataFrame) -> int:
    return int(shown["pairing"].astype(str).str.startswith("unpaired").sum())


def comparisons_rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row per estimate of another method."""
    rows = [
        {
            **{name: row[name] for name in ("task", "model", "split", "metric")},
            "compared": row["regime"] if not row["reference"] else f"{row['regime']} - {row['reference']}",
            "estimator": row["estimator"],
            "n": row["n"],
            "estimate [95 % CI]": with_interval(row["estimate"], row["low"], row["high"]),
            "note": row["note"],
        }
        for row in headline(table).to_dict("records")
    ]
    return pd.DataFrame(rows)


def comparisons_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return ["No rows: no regime to compare on a test split."]
    names = " ".join(set(table["estimator"].astype(str))).lower()
    return [_COMPARED, *(text for part, text in _ESTIMATORS.items() if part in names), *not_shown(table)]
