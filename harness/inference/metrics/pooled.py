"""N-grams of a whole set of texts at once, as numbers; several set metrics count the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from harness.inference.metrics.registry import Text

Sequences = tuple[tuple[int, ...], ...]
Ids = NDArray[np.int64]
KEPT = 5  # orders of one set: what its metrics ask for


def ngram_ids(texts: Sequence[Text], n: int) -> Ids:
    """A number for each n-gram of all texts, in order; none crosses two texts.

    Returns: [n-grams] int64; equal n-grams have the same number, and the numbers are 0, 1, ... without a gap.
    """
    return grams(tuple(text.token_ids for text in texts), n)[0]


def ngram_frequencies(texts: Sequence[Text], n: int) -> Ids:
    """How often each different n-gram of all texts occurs: [different n-grams] int64, in no useful order."""
    return np.bincount(ngram_ids(texts, n)).astype(np.int64)


@lru_cache(maxsize=KEPT)
def grams(sequences: Sequences, n: int) -> tuple[Ids, Ids, Ids]:
    """All n-grams of all sequences.

    Returns: of each n-gram its number (see `ngram_ids`), the place of its first token among all tokens, and the place
        of its sequence: [n-grams] int64 each. Not to be written to.
    """
    tokens, owners, left = _tokens(sequences)
    if n == 1:
        return _numbered(tokens), np.arange(len(tokens)), owners
    shorter, starts, _ = grams(sequences, n - 1)
    whole = left[starts] >= n
    starts = starts[whole]
    # An n-gram is the (n - 1)-gram that it begins with and one token more.
    last = grams(sequences, 1)[0][starts + n - 1]
    return _numbered(shorter[whole] * (len(tokens) + 1) + last), starts, owners[starts]


def _tokens(sequences: Sequences) -> tuple[Ids, Ids, Ids]:
    """Of each token of all sequences: itself, the place of its sequence, and how many tokens are left there with it."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    tokens = np.fromiter(chain.from_iterable(sequences), dtype=np.int64, count=int(lengths.sum()))
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(tokens))
    return tokens, np.repeat(np.arange(len(lengths)), lengths), left


def _numbered(values: Ids) -> Ids:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
