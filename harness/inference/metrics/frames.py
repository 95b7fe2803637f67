"""Metrics of stored texts as tidy rows, computed each time: a new or corrected metric reaches old cells too."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.inference.metrics.registry import Text, prompt_metrics, set_metrics, text_metrics

COLUMNS = ["unit", "prompt", "metric", "value"]


def cell_metrics(generations: pd.DataFrame) -> pd.DataFrame:
    """Metrics per text and of the set, of one generation cell.

    Args:
        generations: a row a text, with prompt, token_ids and logprobs.

    Returns:
        unit (text or set), prompt ("" for the set), metric, value.
    """
    texts, prompts = _texts(generations), generations["prompt"].tolist()
    rows: list[tuple[str, str, str, float]] = []
    for metric, values in text_metrics(texts).items():
        rows += [("text", prompt, metric, float(value)) for prompt, value in zip(prompts, values, strict=True)]
    rows += [("set", "", metric, float(value)) for metric, value in set_metrics(texts).items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def across_replicates(generations: pd.DataFrame) -> pd.DataFrame:
    """Metrics across the inference replicates of each prompt, of one checkpoint and setting.

    A prompt with fewer than two texts (greedy has one by construction) has no pairs and no row.
    """
    rows: list[tuple[str, str, str, float]] = []
    for prompt, group in generations.groupby("prompt", sort=False):
        if len(group) > 1:
            values: dict[str, Any] = prompt_metrics(_texts(group))
            rows += [("prompt", str(prompt), metric, float(value)) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def _texts(generations: pd.DataFrame) -> list[Text]:
    pairs = zip(generations["token_ids"], generations["logprobs"], strict=True)
    return [Text(tuple(int(i) for i in ids), tuple(float(p) for p in logprobs)) for ids, logprobs in pairs]
