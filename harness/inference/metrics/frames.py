"""Metrics of texts as tidy rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.inference.metrics.registry import Text, prompt_metrics, set_metrics, text_metrics

COLUMNS = ["unit", "prompt", "metric", "value"]


def cell_metrics(texts: Sequence[Text], prompts: Sequence[str]) -> pd.DataFrame:
    """Every registered metric per text and of the set, of one generation cell.

    Args:
        texts: of the cell.
        prompts: the id of each text's prompt.

    Returns:
        unit (text or set), prompt ("" for the set), metric, value.
    """
    return tidy(prompts, text_metrics(texts), set_metrics(texts))


def tidy(
    prompts: Sequence[str],
    by_text: Mapping[str, Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]],
    of_set: Mapping[str, float],
) -> pd.DataFrame:
    """Values by metric as rows: of each text, then of the set."""
    count = len(prompts)
    return pd.DataFrame(
        {
            "unit": ["text"] * (count * len(by_text)) + ["set"] * len(of_set),
            "prompt": [*prompts] * len(by_text) + [""] * len(of_set),
            "metric": [name for name in by_text for _ in range(count)] + list(of_set),
            "value": np.concatenate([*by_text.values(), np.array(list(of_set.values()), dtype=np.float64)]),
        },
        columns=COLUMNS,
    )


def across_replicates(texts: Mapping[str, Sequence[Text]]) -> pd.DataFrame:
    """Metrics across the inference replicates of each prompt, of one checkpoint and setting.

    A prompt with fewer than two texts (greedy has one by construction) has no pairs and no row.

    Args:
        texts: by prompt id, in the order of the replicates.
    """
    rows: list[tuple[str, str, str, float]] = []
    for prompt, group in texts.items():
        if len(group) > 1:
            rows += [("prompt", prompt, metric, float(value)) for metric, value in prompt_metrics(group).items()]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})
