"""How splits are cut: by content hash, so that a row's side depends on its text and on nothing else.

No cut here draws a random number: the same rows give the same splits, in any order of the file, and a smaller
training set is part of every larger one. What a cut removes is counted and told in the task's note.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import pandas as pd

from harness.errors import UserError

_NOT_WORD = re.compile(r"[^\w\s]|_")
TEXTS: tuple[str, ...] = ("text", "text_pair", "source", "target")
PHRASE = 4  # texts that share this many words in a row count as sharing a phrase


def normalise(text: str) -> str:
    """Lower case, no punctuation, single spaces; what has no word at all is only stripped."""
    return " ".join(_NOT_WORD.sub(" ", text.lower()).split()) or text.strip()


def content_hash(text: str, purpose: str) -> int:
    """64 bits of a text; each purpose orders the texts in another way."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=purpose.encode()[:16])
    return int.from_bytes(digest.digest(), "big")


def row_keys(frame: pd.DataFrame) -> list[str]:
    """The normalised content of every row; the sentences of a pair are sorted, so a swapped pair is the same."""
    columns = [frame[name].map(normalise) for name in TEXTS if name in frame.columns]
    return ["\x1f".join(sorted(values)) for values in zip(*columns, strict=True)]


def without(frame: pd.DataFrame, *others: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows whose normalised content stands in none of the other frames, and how many were removed."""
    taken = {key for other in others for key in row_keys(other)}
    keep = [key not in taken for key in row_keys(frame)]
    return frame[keep].reset_index(drop=True), keep.count(False)


def training_subset(frame: pd.DataFrame, size: int | None) -> pd.DataFrame:
    """The `size` training rows that come first by hash, in their old order; None is all of them.

    Subsets are nested. Rows with equal content hash apart from each other, so duplicates are drawn one by one.

    Raises:
        UserError: there are fewer rows than asked for.
    """
    if size is None:
        return frame
    if size > len(frame):
        raise UserError(f"train_size {size} is more than the {len(frame)} training rows there are")
    keys = pd.Series(row_keys(frame), index=frame.index)
    nth = keys.groupby(keys).cumcount()
    order = [content_hash(f"{key}\x1f{n}", "train_size") for key, n in zip(keys, nth, strict=True)]
    chosen = sorted(sorted(range(len(frame)), key=order.__getitem__)[:size])
    return frame.iloc[chosen].reset_index(drop=True)


def carve(frame: pd.DataFrame, size: int, columns: Sequence[str] = ("text",)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cuts about `size` rows off: (rest, carved). Rows that share a text in any of the columns stay together.

    Groups of such rows are taken in the order of their hash, but for those that would exceed `size`.

    Raises:
        UserError: not both sides would have rows.
    """
    groups = _groups(frame, columns)
    order = sorted(groups, key=lambda name: content_hash(name, "carve"))
    chosen: list[int] = []
    for name in order:
        if len(chosen) + len(groups[name]) <= size:
            chosen += groups[name]
    if not 0 < len(chosen) < len(frame):
        raise UserError(
            f"cannot cut {size} rows off {len(frame)} rows ({len(groups)} groups of rows that share a text)"
        )
    taken = set(chosen)
    rest = [position for position in range(len(frame)) if position not in taken]
    return frame.iloc[rest].reset_index(drop=True), frame.iloc[sorted(chosen)].reset_index(drop=True)


def _groups(frame: pd.DataFrame, columns: Sequence[str]) -> dict[str, list[int]]:
    """Positions of the rows of each connected group, named by its smallest text (union-find over the texts)."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    texts = [[normalise(value) for value in values] for values in zip(*(frame[c] for c in columns), strict=True)]
    for first, *others in texts:
        for other in others:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    groups: dict[str, list[int]] = {}
    for position, (first, *_) in enumerate(texts):
        groups.setdefault(root(first), []).append(position)
    return groups


def carve_phrases(frame: pd.DataFrame, size: int, least_words: int = 8) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Cuts `size` rows off a set of phrases that overlap each other: (rest, carved, rows dropped from the rest).

    Carved are texts of at least `least_words` words in hash order, no two of which share four words in a row.
    What occurs inside a carved text or shares four words in a row with one leaves the rest: no phrase is on both sides.

    Raises:
        UserError: there are fewer such texts than asked for, or nothing would be left.
    """
    words = [normalise(text).split() for text in frame["text"]]
    long = [position for position, text in enumerate(words) if len(text) >= least_words]
    long.sort(key=lambda position: content_hash(" ".join(words[position]), "carve"))
    chosen: set[int] = set()
    phrases: set[tuple[str, ...]] = set()
    for position in long:
        own = _ngrams(words[position], PHRASE)
        if len(chosen) < size and not own & phrases:
            chosen.add(position)
            phrases |= own
    inside = {gram for p in chosen for n in range(1, PHRASE) for gram in _ngrams(words[p], n)}
    clean = [not (tuple(text) in inside or _ngrams(text, PHRASE) & phrases) for text in words]
    if len(chosen) < size or not any(clean):
        raise UserError(
            f"validation_size {size}: of {len(frame)} rows only {len(chosen)} texts of {least_words} words and more "
            f"share no phrase, and {clean.count(True)} rows would be left to train on"
        )
    rest, carved = frame[clean], frame.iloc[sorted(chosen)]
    return rest.reset_index(drop=True), carved.reset_index(drop=True), len(frame) - len(rest) - size


def _ngrams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def shared_texts(frame: pd.DataFrame, other: pd.DataFrame) -> int:
    """How many rows have a text (of a pair, at least one) that also occurs in the other frame."""
    names = [name for name in TEXTS if name in frame.columns]
    taken = {normalise(text) for name in names for text in other[name]}
    hits = [frame[name].map(lambda text: normalise(text) in taken) for name in names]
    return int(pd.concat(hits, axis=1).any(axis=1).sum())
