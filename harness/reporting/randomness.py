"""The table `randomness` as people read it: a line per arm and metric, the dice side by side in both units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.reporting.headline import headline, not_shown, setting_text
from harness.reporting.numbers import UNKNOWN, percent, two_digits
from harness.reporting.row_notes import SEPARATOR

COUNTS = "replicates x prompts x inference"
TEXT = ("setting", COUNTS, "method")
TRAINING, PROMPT, BOTH, INFERENCE = "training", "prompt", "training x prompt", "inference"
TOTAL, FLOOR = "total", "noise floor"
DICE = (TRAINING, PROMPT, BOTH, INFERENCE)
SUB = ("decode x prompt", "training x decode x prompt")
CONSTRUCTED = "by construction"
_NAMED = ("task", "model", "regime", "split")
Parts = dict[str, dict[Any, Any]]

_DICE_ARE = (
    "training: variance over training replicates of a run's expected value. inference: mean over runs of the variance"
    " over decoding draws, the sum of ALL components with decode. prompt and training x prompt: over prompts, or over"
    " the examples of a split."
)
_UNITS = (
    "Two units. Per value: of one text, prompt, set or example, as the column unit says. Per score: of a benchmark"
    " score, the mean over all n prompts with one decoding draw each; there all but the training part is divided by"
    " the number of prompts; what is not shown of a score is prompt and training x prompt. A statement about which die"
    " is larger means nothing without its unit."
)
_SHARES = (
    "Shares in % of the total, with 95 % intervals: generalised confidence intervals (Tsui and Weerahandi 1989,"
    " Journal of the American Statistical Association). The intervals of the variances themselves are in the CSV:"
    " modified large-sample ones (Graybill and Wang 1980, same journal). A negative estimate is what the method of"
    " moments gave, with the truncated value in brackets; few levels make intervals wide: read the interval, not the"
    " share."
)
_METHODS = {
    "moments": "moments: crossed model of training, prompt and decode nested in prompt, method of moments (Searle,"
    " Casella and McCulloch 1992, Variance Components).",
    "unweighted means": "unweighted means: values are missing, so cell means are analysed with harmonic mean counts"
    " (Thomas and Hultquist 1978, Annals of Statistics).",
    "REML": "REML: values are missing, restricted maximum likelihood (Patterson and Thompson 1971, Biometrika).",
}


def randomness_rows(table: pd.DataFrame) -> pd.DataFrame:
    """A row per arm and metric; of a long table the headline metrics only."""
    return pd.DataFrame([_row(key, parts) for key, parts in by_arm(headline(table)).items()])


def by_arm(table: pd.DataFrame) -> dict[tuple[str, ...], Parts]:
    """The rows by (task, model, regime, split, setting, metric, unit) and component."""
    found: dict[tuple[str, ...], Parts] = {}
    for row in table.to_dict("records"):
        key = (*(str(row[name]) for name in _NAMED), setting_text(row), str(row["metric"]), str(row["unit"]))
        found.setdefault(key, {})[str(row["component"])] = row
    return found


def _row(key: tuple[str, ...], parts: Parts) -> dict[str, Any]:
    any_part = next(iter(parts.values()))
    of_value = {f"per value: {name} %": _share(parts.get(name), "") for name in DICE}
    of_score = {f"per score: {name} %": _share(parts.get(name), "score_") for name in (TRAINING, INFERENCE)}
    return {
        **dict(zip((*_NAMED, "setting", "metric", "unit"), key, strict=True)),
        COUNTS: " x ".join(_count(any_part[f"n_{name}"]) for name in ("training", "prompts", "inference")),
        "variance per value": _variance(parts.get(TOTAL), "variance"),
        **of_value,
        "variance per score": _variance(parts.get(TOTAL, parts.get(TRAINING)), "score_variance"),
        **of_score,
        "noise floor": _variance(parts.get(FLOOR), "variance"),
        "design": any_part["design"],
        "method": ", ".join(sorted({str(part["method"]) for part in parts.values()} & set(_METHODS))),
        "note": _notes(parts),
    }


def _count(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.0f}"


def _variance(row: Mapping[Any, Any] | None, column: str) -> str:
    return "-" if row is None else two_digits(float(row[column]))


def _share(row: Mapping[Any, Any] | None, unit: str) -> str:
    """For example `36 [10, 80]`, `-1.2 (0) [-5.0, 8.1]`, `0 (by construction)`; `-` where the unit has no such part."""
    if row is None:
        return "-"
    if row[f"{unit}variance"] == 0 and CONSTRUCTED in str(row["note"]):
        return f"0 ({CONSTRUCTED})"
    value, low, high = (float(row[f"{unit}share{end}"]) for end in ("", "_low", "_high"))
    shown = UNKNOWN if pd.isna(value) else percent(value, low, high)
    return shown if not value < 0 else " ".join([shown.split(" ")[0], "(0)", *shown.split(" ")[1:]])


def _notes(parts: Parts) -> str:
    """The notes of an arm: with their part's name, or alone where the total has it too; no constructed zeros."""
    found: dict[str, list[str]] = {}
    for name in (*DICE, TOTAL):
        for piece in str(parts[name]["note"]).split(SEPARATOR) if name in parts else ():
            found.setdefault(piece, []).append(name)
    kept = {piece: names for piece, names in found.items() if piece and CONSTRUCTED not in piece}
    return SEPARATOR.join(piece if TOTAL in names else f"{', '.join(names)}: {piece}" for piece, names in kept.items())


def randomness_footnotes(table: pd.DataFrame) -> list[str]:
    """What the rows at hand need."""
    if table.empty:
        return ["No rows: no arm has values."]
    shown = headline(table)
    methods = [text for name, text in _METHODS.items() if (shown["method"] == name).any()]
    pieces = {piece for note in shown["note"].unique() for piece in str(note).split(SEPARATOR)}
    constructed = sorted(piece for piece in pieces if CONSTRUCTED in piece)
    floors = sorted(set(shown.loc[shown["component"] == FLOOR, "note"]) - {""})
    return [
        _DICE_ARE,
        _UNITS,
        _SHARES,
        *methods,
        *([f"{'; '.join(constructed)}."] if constructed else []),
        *([f"noise floor: variance between identical-seed repeats; {'; '.join(floors)}."] if floors else []),
        *_sub_components(shown),
        *not_shown(table),
    ]


def _sub_components(shown: pd.DataFrame) -> list[str]:
    """The parts of the inference die, which are a property of the sampler's noise and not of the texts."""
    sub = shown[~shown["head"].astype(bool) & shown["component"].isin(SUB)]
    medians = {name: float(sub.loc[sub["component"] == name, "share"].median()) for name in SUB}
    if sub.empty or any(pd.isna(value) for value in medians.values()):
        return []
    told = " and ".join(f"{name} {100 * value:.0f} %" for name, value in medians.items())
    return [
        f"Parts of the inference die (median share per text over the arms shown): {told}. How it splits into these"
        " depends on how the sampler shares its noise between checkpoints, so that they are no interaction of the dice;"
        " their sum does not depend on it. They are in the CSV with head = False."
    ]
