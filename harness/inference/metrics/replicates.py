"""Diversity across the replicates of one prompt: the most direct reading of "top-k brings randomness"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from harness.inference.metrics.ngrams import Ngram, ngrams
from harness.inference.metrics.registry import Text, text_metric

Sequences = tuple[tuple[int, ...], ...]
Distances = tuple[tuple[float, ...], ...]


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
    rows = _distances(tuple(text.token_ids for text in texts))
    distances = [distance for place, row in enumerate(rows) for distance in row[:place]]
    return math.fsum(distances) / len(distances) if distances else float("nan")


@text_metric(
    "replicate-distinctness-error",
    unit="prompt",
    source="Arvesen 1969 (jackknife of U-statistics)",
    description="jackknife standard error of replicate-distinctness over the replicates of one prompt",
)
def replicate_distinctness_error(texts: Sequence[Text]) -> float:
    """sqrt((n - 1) / n * sum_i (u_i - mean)^2), u_i the distinctness without replicate i.

    Without i the sum over pairs lacks i's distances r_i, so u_i - mean = -2 (r_i - mean r) / ((n - 1) (n - 2)).

    Returns: at least 0, in the metric's own unit; NaN with fewer than three replicates.
    """
    sums = [math.fsum(row) for row in _distances(tuple(text.token_ids for text in texts))]
    n = len(sums)
    if n < 3:
        return float("nan")
    middle = math.fsum(sums) / n
    squares = math.fsum((one - middle) ** 2 for one in sums)
    return 2 / (n - 2) * math.sqrt(squares / (n * (n - 1)))


@text_metric(
    "replicate-identical",
    unit="prompt",
    source="-",
    description="share of the pairs of one prompt's replicates that are the very same tokens",
)
def replicate_identical(texts: Sequence[Text]) -> float:
    """Pairs with equal token ids / pairs, in [0, 1]: the plug-in chance that two draws agree, a U-statistic, too.

    Returns: NaN with fewer than two replicates.
    """
    copies = Counter(text.token_ids for text in texts)
    pairs = math.comb(len(texts), 2)
    return sum(math.comb(count, 2) for count in copies.values()) / pairs if pairs else float("nan")


@lru_cache(maxsize=1)
def _distances(sequences: Sequences) -> Distances:
    """The distance between each two, [n][n]; the diagonal is 0. Kept for the next metric of the same replicates."""
    bags = [frozenset(_numbered(sequence)) for sequence in sequences]
    rows = [[0.0] * len(sequences) for _ in sequences]
    for one in range(len(sequences)):
        for other in range(one):
            shared, total = len(bags[one] & bags[other]), len(bags[one]) + len(bags[other])
            equal = sequences[one] == sequences[other]
            rows[one][other] = rows[other][one] = 1 - shared / (total - shared) if total else float(not equal)
    return tuple(map(tuple, rows))


def _numbered(sequence: tuple[int, ...]) -> Iterator[tuple[Ngram, int]]:
    """Each bigram with how often it came before: as sets, these share what the bigram counts share."""
    seen: dict[Ngram, int] = {}
    for bigram in ngrams(sequence, 2):
        number = seen.get(bigram, 0)
        seen[bigram] = number + 1
        yield bigram, number
