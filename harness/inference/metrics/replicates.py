"""Diversity across the replicates of one prompt: the most direct reading of "top-k brings randomness"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from harness.inference.metrics.ngrams import Ngram, ngram_counts
from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "replicate-distinctness",
    unit="prompt",
    source="Ruzicka 1958 (the distance of multisets that generalises Jaccard 1912); its use here is twodice's own",
    description="mean bigram distance between pairs of one prompt's replicates: 0 all equal, 1 nothing shared",
)
def replicate_distinctness(texts: Sequence[Text]) -> float:
    """Mean over pairs of replicates of 1 - sum min(a, b) / sum max(a, b), a and b their bigram counts.

    A U-statistic of order two: its expectation does not depend on the number of replicates. Where neither text has a
    bigram (fewer than two tokens) the distance is 0 if they are equal, else 1. Which pair came first does not matter.

    Returns: in [0, 1]; NaN with fewer than two replicates.
    """
    counted = [(text.token_ids, ngram_counts(text.token_ids, 2)) for text in texts]
    distances = [_distance(one, other) for one, other in combinations(counted, 2)]
    return math.fsum(distances) / len(distances) if distances else float("nan")


def _distance(one: tuple[tuple[int, ...], Counter[Ngram]], other: tuple[tuple[int, ...], Counter[Ngram]]) -> float:
    larger = (one[1] | other[1]).total()
    if not larger:
        return float(one[0] != other[0])
    return 1 - (one[1] & other[1]).total() / larger
