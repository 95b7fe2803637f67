"""Entropy of a text's own token distribution."""

from __future__ import annotations

import math
from collections import Counter

from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "token-entropy",
    unit="text",
    source="Shannon 1948, plug-in estimate",
    description="entropy of the token frequencies of one text, in nats; at most log(length)",
)
def token_entropy(text: Text) -> float:
    """-sum p log p in nats, p the share of each token in the text; 0 if one token is all there is, NaN if none."""
    length = len(text.token_ids)
    if not length:
        return float("nan")
    shares = [count / length for count in Counter(text.token_ids).values()]
    return math.fsum(-share * math.log(share) for share in shares)
