"""Entropy of token and n-gram frequencies: of one text, and of all texts together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial

from harness.inference.metrics.pooled import ngram_frequencies
from harness.inference.metrics.registry import Text, text_metric


def entropy(counts: Collection[int]) -> float:
    """-sum p log p in nats, p the share of each count; 0 if there is one, NaN if there is none."""
    total = sum(counts)
    if not total:
        return float("nan")
    shares = [count / total for count in counts]
    return math.fsum(-share * math.log(share) for share in shares)


@text_metric(
    "token-entropy",
    unit="text",
    source="Shannon 1948, plug-in estimate",
    description="entropy of the token frequencies of one text, in nats; at most log(length)",
)
def token_entropy(text: Text) -> float:
    """-sum p log p in nats, p the share of each token in the text; 0 if one token is all there is, NaN if none."""
    return entropy(Counter(text.token_ids).values())


def ngram_entropy(texts: Sequence[Text], n: int) -> float:
    """-sum p log p in nats, p the share of each n-gram among all n-grams of all texts; none crosses two texts.

    The plug-in estimate is too low by about (different n-grams) / (2 n-grams seen): compare equal amounts only.

    Returns: in [0, log(number of n-grams)]; NaN if no text has n tokens.
    """
    return entropy(ngram_frequencies(texts, n).tolist())


for _n in (1, 2, 3, 4):
    text_metric(
        f"entropy-{_n}",
        unit="set",
        source="Zhang, Galley, Gao, Gan, Li, Brockett, Dolan 2018, arXiv 1809.05972 (Ent-n)",
        description=f"entropy of the {_n}-gram frequencies of all prompts' texts together, in nats",
    )(partial(ngram_entropy, n=_n))
