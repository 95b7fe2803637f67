"""Zipf coefficient: how fast token frequencies fall with their rank."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.inference.metrics.pooled import ngram_frequencies
from harness.inference.metrics.registry import Text, text_metric

TYPES = 5000


@text_metric(
    "zipf",
    unit="set",
    source="Zipf 1949; estimate of Holtzman, Buys, Du, Forbes, Choi 2020, arXiv 1904.09751",
    description="-slope of log frequency on log rank over the 5,000 most frequent tokens of all texts; human text: ~1",
)
def zipf(texts: Sequence[Text]) -> float:
    """-slope of the least-squares line through (log rank, log frequency) of the most frequent tokens, ranks from 1.

    Tied frequencies get ranks in a row; which token gets which does not matter. Falls with less text, as types that
    occur once make a flat tail: compare equal amounts only.

    Returns: at least 0 up to rounding; NaN with fewer than two different tokens.
    """
    frequencies = sorted(ngram_frequencies(texts, 1).tolist(), reverse=True)[:TYPES]
    if len(frequencies) < 2:
        return float("nan")
    # Not the negative of the slope: a flat line is 0, not -0.
    return 0.0 - _slope(
        [math.log(rank) for rank in range(1, len(frequencies) + 1)], [math.log(count) for count in frequencies]
    )


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    middle = math.fsum(x) / len(x)
    deviations = [value - middle for value in x]
    products = (deviation * value for deviation, value in zip(deviations, y, strict=True))
    return math.fsum(products) / math.fsum(deviation * deviation for deviation in deviations)
