"""N-grams of a token id sequence, which several metrics count."""

from __future__ import annotations

from collections.abc import Sequence

Ngram = tuple[int, ...]


def ngrams(token_ids: Sequence[int], n: int) -> list[Ngram]:
    """All n-grams in order; none if the sequence is shorter than n."""
    return list(zip(*(token_ids[start:] for start in range(n)), strict=False))
