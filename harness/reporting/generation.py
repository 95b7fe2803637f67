"""The table `generation` as people read it, and its footnotes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.settings import GREEDY, HUMAN, SETTING
from harness.reporting.numbers import interval, rounded, two_digits, with_interval

TEXT = tuple(SETTING)
# A filter that leaves nothing out in any row has no column.
_OFF = {"top_p": 1.0, "min_p": 0.0}
_CLOSEST = (
    "human: texts that people wrote for the same prompts, scored by each checkpoint. to human: mean minus the human"
    " mean of the same regime, paired by training replicate and prompt, over the prompts where both have a value. Read"
    " which setting is closest to human, not which perplexity is lowest: the texts that a model finds most probable are"
    " not those that people write."
)
_REFERENCES = (
    "n inference of human rows: references of a prompt; prompts may have different numbers of them and weigh the same."
)
_PER_SET = (
    "to human, per set: set metrics depend on the number of texts; only sets of references with a text for every prompt"
    " count."
)


def generation_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table with numbers rounded to their uncertainty; columns and metrics that say nothing are left out."""
    table = table[~_without_value(table)]
    shown = pd.DataFrame([_row(row) for row in table.to_dict("records")])
    if shown.empty:
        return shown
    idle = [name for name, off in _OFF.items() if (table[name] == off).all()]
    return shown.drop(columns=[*idle, *(["to human"] if table["to_human"].isna().all() else [])])


def _without_value(table: pd.DataFrame) -> pd.Series[bool]:
    """The rows of metrics that have no value in any arm of their task and model: what they need is not there."""
    known = (
        table["mean"].notna().groupby([table[name] for name in ("task", "model", "metric", "unit")]).transform("any")
    )
    return (table["metric"] != "") & ~known.astype(bool)


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    human = row["top_k"] == HUMAN
    factors = {name: row[name] for name in ("task", "model", "regime", *SETTING, "metric", "unit")}
    # Nothing was sampled: a temperature would be one that nobody used.
    factors |= dict.fromkeys(("temperature", *_OFF), "") if human else {}
    return {
        **factors,
        "n training": row["n_training"],
        "n inference": row["n_inference"],
        "n prompts": row["n_prompts"],
        "mean": rounded(row["mean"], row["ci_low"], row["ci_high"]),
        "95 % CI": interval(row["ci_low"], row["ci_high"]),
        "sd": two_digits(row["sd"]),
        "decode sd": "-" if pd.isna(row["decode_sd"]) else two_digits(row["decode_sd"]),
        "to human": _to_human(row),
        "undefined": row["undefined"],
        "failed": row["failed"],
        "missing": row["missing"],
        "note": row["note"],
    }


def _to_human(row: dict[Any, Any]) -> str:
    if pd.isna(row["to_human"]):
        return "-"
    return with_interval(row["to_human"], row["to_human_low"], row["to_human_high"])


def generation_footnotes(table: pd.DataFrame) -> list[str]:
    """What the columns are, and what is zero by construction."""
    lines = [
        *_greedy(table),
        "n training: training replicates. The texts of one checkpoint and prompt are averaged first, over inference"
        " replicates; mean and interval are over training replicates and prompts.",
        "sd: over training replicates. decode sd: over inference replicates of one prompt and checkpoint (root of the"
        " mean variance); of a set, over inference replicates of one checkpoint. -: there is none.",
        "unit: what one value belongs to: a text; a prompt (across the inference replicates of that prompt); a set"
        " (all texts of one inference replicate).",
        "undefined: values that do not exist, for example because a text is too short; they are left out.",
    ]
    lost = sorted(set(table.loc[_without_value(table), "metric"]))
    if lost:
        lines.append(f"without a value in any arm of a task and model, and so not shown: {', '.join(lost)}.")
    human = table[table["top_k"] == HUMAN]
    if len(human):
        lines += [_CLOSEST, _REFERENCES, *([_PER_SET] if (human["unit"] == "set").any() else [])]
    return lines


def _greedy(table: pd.DataFrame) -> list[str]:
    if GREEDY not in set(table["top_k"]):
        return []
    lines = ["k = 1 is greedy: its decode sd is 0 by construction, not estimated."]
    across = set(table.loc[table["unit"] == "prompt", "top_k"])
    if across and GREEDY not in across:
        lines.append(
            "k = 1: all replicates of a prompt are one text, so diversity across replicates is zero by construction"
            " and has no row."
        )
    return lines
