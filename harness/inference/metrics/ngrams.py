"""N-grams of a token id sequence, which several metrics count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

Ngram = tuple[int, ...]


def ngrams(token_ids: Sequence[int], n: int) -> list[Ngram]:
    """All n-grams in order; none if the sequence is shorter than n."""
    return list(zip(*(token_ids[start:] for start in range(n)), strict=False))


def ngram_counts(token_ids: Sequence[int], n: int) -> Counter[Ngram]:
    """How often each n-gram occurs."""
    return Counter(ngrams(token_ids, n))
