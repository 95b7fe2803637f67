"""Repetition inside a text."""

from __future__ import annotations

from harness.inference.metrics.ngrams import ngrams
from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "seq-rep-4",
    unit="text",
    source="Welleck, Kulikov, Roller, Dinan, Cho, Weston 2020, arXiv 1908.04319",
    description="share of 4-grams that repeat an earlier one of the text: 1 - distinct 4-grams / 4-grams",
)
def seq_rep_4(text: Text) -> float:
    """1 - distinct 4-grams / 4-grams of the new tokens, in [0, 1); NaN if there are fewer than four."""
    found = ngrams(text.token_ids, 4)
    return 1 - len(set(found)) / len(found) if found else float("nan")
