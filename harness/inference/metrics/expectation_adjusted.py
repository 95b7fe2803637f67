"""Expectation-adjusted distinct-n: distinct n-grams over those that as many random draws would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from harness.inference.metrics.coverage import vocabulary_of
from harness.inference.metrics.ngrams import ngrams
from harness.inference.metrics.pooled import ngram_frequencies
from harness.inference.metrics.registry import Text, text_metric

_SOURCE = "Liu, Sabour, Zheng, Ke, Zhu, Huang 2022, ACL 2022.acl-short.86, arXiv 2202.13587"


def expectation_adjusted(text: Text, n: int) -> float:
    """`expectation_adjusted_of_set` of one text."""
    found = ngrams(text.token_ids, n)
    return _adjusted(len(set(found)), len(found), text.vocabulary, n)


def expectation_adjusted_of_set(texts: Sequence[Text], n: int) -> float:
    """N / (V (1 - ((V - 1) / V)^C)): N distinct n-grams among C, over the expected number in C uniform draws from V.

    The paper gives it for tokens, V the size of the vocabulary. For n > 1 V is here the number of n-grams that can be
    made of it, vocabulary^n; so for short texts ead-2 is close to distinct-2. N-grams do not cross from text to text.

    Returns: above 0; somewhat above 1 where draws repeat less than uniform ones would; NaN where the vocabulary is not
    known or no text has n tokens.
    """
    found = ngram_frequencies(texts, n)
    return _adjusted(len(found), int(found.sum()), vocabulary_of(texts), n)


def _adjusted(distinct: int, draws: int, vocabulary: int | None, n: int) -> float:
    if vocabulary is None or not draws:
        return float("nan")
    return distinct / _expected(vocabulary**n, draws)


def _expected(types: int, draws: int) -> float:
    """Expected number of different types in uniform draws, without the loss of digits that 1 - (1 - 1/V)^C has."""
    return 1.0 if types == 1 else -types * math.expm1(draws * math.log1p(-1 / types))


for _n in (1, 2):
    _text = f"distinct {_n}-grams / the number expected of as many uniform draws from all {_n}-grams"
    text_metric(f"ead-{_n}", unit="text", source=_SOURCE, description=f"{_text}, of one text")(
        partial(expectation_adjusted, n=_n)
    )
    text_metric(f"ead-{_n}-set", unit="set", source=_SOURCE, description=f"{_text}, of all prompts' texts")(
        partial(expectation_adjusted_of_set, n=_n)
    )
