"""Distinct-n: distinct n-grams over all n-grams."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from harness.inference.metrics.ngrams import ngrams
from harness.inference.metrics.pooled import ngram_frequencies
from harness.inference.metrics.registry import Text, text_metric

_SOURCE = "after Li, Galley, Brockett, Gao, Dolan 2016, arXiv 1510.03055, who divide by the number of tokens"


def distinct(text: Text, n: int) -> float:
    """Distinct n-grams / n-grams of one text, in (0, 1]; NaN if it has fewer than n tokens."""
    found = ngrams(text.token_ids, n)
    return len(set(found)) / len(found) if found else float("nan")


def distinct_of_set(texts: Sequence[Text], n: int) -> float:
    """Distinct n-grams / n-grams of all texts together, in (0, 1]; NaN if none has n tokens.

    N-grams do not cross from one text to the next. Falls with the amount of text: compare equal amounts only.
    """
    found = ngram_frequencies(texts, n)
    return len(found) / int(found.sum()) if len(found) else float("nan")


for _n in (1, 2, 3):
    text_metric(
        f"distinct-{_n}", unit="text", source=_SOURCE, description=f"distinct {_n}-grams / {_n}-grams of one text"
    )(partial(distinct, n=_n))

text_metric(
    "distinct-2-set", unit="set", source=_SOURCE, description="distinct bigrams / bigrams of all prompts' texts"
)(partial(distinct_of_set, n=2))
