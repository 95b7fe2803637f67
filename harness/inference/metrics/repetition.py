"""Repetition inside a text, wherever it stands."""

from __future__ import annotations

from functools import partial

from harness.inference.metrics.ngrams import ngrams
from harness.inference.metrics.registry import Text, text_metric


def seq_rep(text: Text, n: int) -> float:
    """1 - distinct n-grams / n-grams of the new tokens, in [0, 1); NaN if there are fewer than n."""
    found = ngrams(text.token_ids, n)
    return 1 - len(set(found)) / len(found) if found else float("nan")


for _n in (1, 2, 3, 4):
    text_metric(
        f"seq-rep-{_n}",
        unit="text",
        source="Welleck, Kulikov, Roller, Dinan, Cho, Weston 2020, arXiv 1908.04319",
        description=f"share of {_n}-grams that repeat an earlier one of the text: 1 - distinct {_n}-grams / {_n}-grams",
    )(partial(seq_rep, n=_n))
