"""Memorisation: the longest span of a text that also stands in the training texts, for many texts at once. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Rows = Sequence[Sequence[int] | npt.NDArray[np.int32]]

_END = -1  # stands after every row, so that no window crosses from one into the next
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def longest_copies(texts: Rows, documents: Rows) -> Longs:
    """How many tokens the longest span of each text has that stands, contiguous, in one of the documents.

    Windows of 1, 2, ... tokens are compared by hashes of 64 bits; only windows that were found grow. A hash stands for
    its window: taken as random bits, two different windows are called equal with probability 2^-64 a pair, which is
    below 1e-4 in all for 10 million windows of texts, 10 million of documents and 18 lengths.

    Args:
        texts: token ids of each text, from 0.
        documents: token ids of each training text.

    Returns:
        int64 [number of texts]; 0 for an empty text and where no token is known.
    """
    mine, known = _windows(texts), _windows(documents)
    owner = np.repeat(np.arange(len(texts)), [len(text) + 1 for text in texts])
    longest = np.zeros(len(texts), dtype=np.int64)
    length = 0
    while len(mine.starts) and len(known.starts):
        length += 1
        mine, known = mine.grown(length), known.grown(length)
        known_hashes = np.unique(known.hashes)
        mine = mine.among(known_hashes)
        known = known.among(np.unique(mine.hashes))
        longest[owner[mine.starts]] = length
    return longest


@dataclass(frozen=True)
class _Windows:
    """Windows of one length in rows of tokens.

    Attributes:
        tokens: of all rows, each followed by _END; int64.
        starts: where each window begins in them.
        hashes: of each window.
    """

    tokens: Longs
    starts: Longs
    hashes: Hashes

    def grown(self, length: int) -> _Windows:
        """The windows made longer by a token, to `length`; those at the end of their row are gone."""
        token = self.tokens[self.starts + (length - 1)]
        inside = token != _END
        return _Windows(self.tokens, self.starts[inside], _mixed(self.hashes[inside], token[inside]))

    def among(self, hashes: Hashes) -> _Windows:
        """The windows that have one of these hashes, which are sorted."""
        if not len(hashes):
            return _Windows(self.tokens, self.starts[:0], self.hashes[:0])
        places = np.minimum(np.searchsorted(hashes, self.hashes), len(hashes) - 1)
        found = hashes[places] == self.hashes
        return _Windows(self.tokens, self.starts[found], self.hashes[found])


def _windows(rows: Rows) -> _Windows:
    """The empty windows before every token."""
    end = np.array([_END], dtype=np.int64)
    parts = [part for row in rows for part in (np.asarray(row, dtype=np.int64), end)]
    tokens = np.concatenate(parts) if parts else end
    starts = np.flatnonzero(tokens != _END)
    return _Windows(tokens, starts, np.zeros(len(starts), dtype=np.uint64))


def _mixed(hashes: Hashes, tokens: Longs) -> Hashes:
    """Each hash with one more token, by the finaliser of SplitMix64 (Steele, Lea, Flood 2014): one to one in both."""
    mixed = hashes + (tokens.astype(np.uint64) + np.uint64(1)) * _GAMMA
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    finished: Hashes = mixed ^ (mixed >> np.uint64(31))
    return finished
