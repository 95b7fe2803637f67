"""The summary's sentences on the dice: which one dominates which metric, in which unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.order import top_k_rank
from harness.analysis.settings import GREEDY
from harness.reporting.headline import OF_RUNS, is_headline, judged, main_metrics, metric_rank, setting_text
from harness.reporting.numbers import percent
from harness.reporting.randomness import INFERENCE, PROMPT, TRAINING

LARGER, SMALLER, OPEN = "the inference die", "the training die", "neither clearly"
_EXAMPLES = 2
_MOST = 0.5
LARGEST, SMALLEST = "largest", "smallest"
Shares = Mapping[tuple[str, str], dict[Any, Any]]


def dice(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Up to three sentences: per text, per benchmark score, and of test scores.

    They speak of one arm per task and model: the reference regime (or the table's first), at the largest k without
    temperature or filters, and say where the smallest k that samples has another answer: few candidates leave little
    to the inference die. A die dominates where its share's interval lies above that of the other.
    """
    table = tables.get("randomness")
    if table is None or table.empty:
        return []
    rows = table[(table["regime"] == _regime(tables, table)) & table["component"].isin([TRAINING, INFERENCE, PROMPT])]
    texts = rows[is_headline(rows) & ~rows["unit"].isin(OF_RUNS)]
    texts = texts[_reference_setting(texts)]
    ends = _of_k(texts, LARGEST), _of_k(texts, SMALLEST)
    return [*_of_texts(*ends, ""), *_of_texts(*ends, "score_"), *_of_scores(rows[rows["unit"].isin(OF_RUNS)])]


def _regime(tables: Mapping[str, pd.DataFrame], table: pd.DataFrame) -> str:
    contrasts = tables.get("contrasts")
    named = [] if contrasts is None else [str(name) for name in contrasts["reference"].dropna() if name]
    return named[0] if named and named[0] in set(table["regime"]) else str(table["regime"].iloc[0])


def _reference_setting(rows: pd.DataFrame) -> pd.Series[bool]:
    plain = (rows["temperature"] == 1.0) & (rows["top_p"] == 1.0) & (rows["min_p"] == 0.0)
    return plain & (rows["top_k"] != GREEDY)


def _of_k(rows: pd.DataFrame, end: str) -> pd.DataFrame:
    """The rows of the largest or the smallest k of each task and model."""
    ranks = rows["top_k"].map(top_k_rank).astype(float)
    groups = ranks.groupby([rows["task"], rows["model"]])
    return rows[ranks == (groups.transform("max") if end == LARGEST else groups.transform("min"))]


def _of_texts(rows: pd.DataFrame, smallest: pd.DataFrame, unit: str) -> list[str]:
    """One sentence: which metrics each die dominates; a metric whose answer differs between tasks says so."""
    if unit == "":
        rows, smallest = (some[some["unit"] == "text"] for some in (rows, smallest))
    found, values = _answers(rows, unit)
    if not found:
        return []
    first = rows.iloc[0]
    name = "Per text" if unit == "" else f"Per benchmark score (mean over {_prompts(rows)} prompts)"
    arm = f"{first['task']} / {first['model']}, {first['regime']}, {setting_text(dict(first))}"
    pairs = len({pair for answers in found.values() for pair in answers})
    same = f"; unless it says that tasks differ, the answer is that of all {pairs} tasks" if pairs > 1 else ""
    shares = f"shares in % of the total, negative ones as 0, 95 % intervals, of {arm}{same}{_of_prompts(rows, unit)}"
    return [f"{name}, {_listed(found, values)} ({shares}).{_elsewhere(found, smallest, unit)}"]


def _answers(rows: pd.DataFrame, unit: str) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """By metric: which die is larger in each task and model, and the shares of the first."""
    found: dict[str, dict[str, str]] = {}
    values: dict[str, str] = {}
    for key, some in rows.groupby(["task", "model", "metric"], sort=False):
        parts = {str(row["component"]): row for row in some.to_dict("records")}
        answer = _larger(parts, unit)
        if answer:
            found.setdefault(str(key[2]), {})[f"{key[0]} / {key[1]}"] = answer
            values.setdefault(str(key[2]), _told(parts, unit))
    return found, values


def _of_prompts(rows: pd.DataFrame, unit: str) -> str:
    """Where a die that dominates the other is small itself."""
    arm, share = ["task", "model", "metric"], f"{unit}share"
    prompts, sampled = (rows[rows["component"] == name].set_index(arm)[share] for name in (PROMPT, INFERENCE))
    most = prompts[(prompts > _MOST) & (sampled.reindex(prompts.index) < _MOST)]
    names = sorted(dict.fromkeys(map(str, most.index.get_level_values("metric"))), key=metric_rank)
    return f"; the choice of prompts carries more than half of {', '.join(names)}" if names else ""


def _elsewhere(found: Mapping[str, Mapping[str, str]], smallest: pd.DataFrame, unit: str) -> str:
    """The metrics whose answer is another one at the smallest k."""
    there, _ = _answers(smallest, unit)
    changed = {metric: answers for metric, answers in there.items() if metric in found and answers != found[metric]}
    if not changed:
        return ""
    return f" But at {setting_text(dict(smallest.iloc[0]))}, {_listed(changed, {})}."


def _prompts(rows: pd.DataFrame) -> str:
    counts = sorted({int(count) for count in rows.loc[rows["n_prompts"] > 1, "n_prompts"]})
    return " or ".join(map(str, counts)) or "all"


def _larger(parts: Mapping[str, dict[Any, Any]], unit: str) -> str:
    """Which die dominates; empty where a share or an interval is unknown."""
    if not {TRAINING, INFERENCE} <= set(parts):
        return ""
    training, inference = parts[TRAINING], parts[INFERENCE]
    bounds = [part[f"{unit}share_{end}"] for part in (training, inference) for end in ("low", "high")]
    if any(pd.isna(bound) for bound in bounds):
        return ""
    if inference[f"{unit}share_low"] > training[f"{unit}share_high"]:
        return LARGER
    return SMALLER if training[f"{unit}share_low"] > inference[f"{unit}share_high"] else OPEN


def _told(parts: Mapping[str, dict[Any, Any]], unit: str) -> str:
    shares = {name: _percent(parts[name], unit) for name in (INFERENCE, TRAINING)}
    return f"inference {shares[INFERENCE]}, training {shares[TRAINING]}"


def _percent(row: Mapping[Any, Any], unit: str) -> str:
    """A share of at most 1 and at least 0 with its interval, in percent."""
    value, low, high = (min(1.0, max(0.0, float(row[f"{unit}share{end}"]))) for end in ("", "_low", "_high"))
    return percent(value, low, high) if high > low else f"{100 * value:.0f} (estimated {_beyond(row, unit)})"


def _beyond(row: Mapping[Any, Any], unit: str) -> str:
    """What is said of an interval that has no part between 0 and 1."""
    return "below 0" if row[f"{unit}share"] < 0.5 else "above 100"


def _listed(found: Mapping[str, Mapping[str, str]], values: Mapping[str, str]) -> str:
    """For example `the inference die dominates nll (inference 57 [34, 100], ...) and length; neither ...`."""
    groups: dict[str, list[str]] = {}
    for metric in sorted(found, key=metric_rank):
        answers = set(found[metric].values())
        groups.setdefault(answers.pop() if len(answers) == 1 else "", []).append(metric)
    parts = [f"{die} dominates {_examples(groups[die], values)}" for die in (LARGER, SMALLER) if die in groups]
    parts += [f"no die clearly dominates {_examples(groups[OPEN], values)}"] if OPEN in groups else []
    parts += [f"tasks differ in {', '.join(groups[''])}"] if "" in groups else []
    return "; ".join(parts)


def _examples(metrics: Sequence[str], values: Mapping[str, str]) -> str:
    """The metrics; of the first ones with their shares."""
    shown = [f"{name} ({values[name]})" if name in values else name for name in metrics[:_EXAMPLES]]
    return ", ".join([*shown, *metrics[_EXAMPLES:]])


def _of_scores(rows: pd.DataFrame) -> list[str]:
    """Of test scores: the inference die is 0 by construction; what training carries."""
    rows = judged(rows[(rows["unit"] == "example") & (rows["component"] == TRAINING)])
    told = []
    for (task, model, split), some in rows.groupby(["task", "model", "split"], sort=False):
        metric = main_metrics(list(some["metric"]))[-1:]
        for row in some[some["metric"].isin(metric) & some["score_share_low"].notna()].to_dict("records"):
            told.append(f"{_percent(row, 'score_')} of {split} {row['metric']} ({task} / {model})")
    if not told:
        return []
    more = f" and so on for {len(told) - _EXAMPLES} more" if len(told) > _EXAMPLES else ""
    return [
        "Scores of a held-out split owe nothing to the inference die, by construction; per benchmark score the training"
        f" die carries, in %, {', '.join(told[:_EXAMPLES])}{more}; the rest is of examples: which ones the split has,"
        " and which ones a run does well on."
    ]
