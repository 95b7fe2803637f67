"""ROUGE-L against human texts for the same prompt: words and F-score of rouge-score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

from harness.inference.metrics.references import HUMAN, comparable, with_references
from harness.inference.metrics.registry import Text, text_metric

_SOURCE = "Lin 2004, ACL W04-1013; words as in Google's rouge-score, no stemming"
CACHED = 1 << 14  # strings whose words, and texts whose score, are kept: for the set, and the next setting


@text_metric(
    "rouge-l",
    unit="text",
    source=_SOURCE,
    description=f"ROUGE-L F1 of one text against the reference that it matches best, 0 to 100; {HUMAN}",
)
def rouge_l(text: Text) -> float:
    """100 * the largest F1 over the references: 2 P R / (P + R), P and R the longest common subsequence of words over
    the words of the text and of the reference. Words are runs of a-z and 0-9 in lower case. A human text is compared
    with the OTHER references of its prompt, one fewer than a sampled text has.

    Returns: 0 to 100, 0 if one side has no word; NaN without a reference.
    """
    if not comparable(text):
        return float("nan")
    return _best(text.string, text.references)


@text_metric(
    "rouge-l-set",
    unit="set",
    source=_SOURCE,
    description=f"mean of rouge-l over all prompts' texts, 0 to 100; {HUMAN}",
)
def rouge_l_of_set(texts: Sequence[Text]) -> float:
    """Mean over the texts that have a reference, each counts the same: without human texts of one-reference prompts.

    Returns: 0 to 100; NaN if no text has a reference, or the string of one that has is not known.
    """
    compared = with_references(texts)
    return math.fsum(map(rouge_l, compared)) / len(compared) if compared else float("nan")


@lru_cache(maxsize=CACHED)
def _best(string: str, references: tuple[str, ...]) -> float:
    words = _words(string)
    places = word_places(words)
    return 100 * max(_f_score(words, places, _words(reference)) for reference in references)


@lru_cache(maxsize=CACHED)
def _words(string: str) -> tuple[str, ...]:
    from rouge_score.tokenizers import DefaultTokenizer

    return tuple(DefaultTokenizer(use_stemmer=False).tokenize(string))


def _f_score(words: tuple[str, ...], places: Mapping[str, int], reference: tuple[str, ...]) -> float:
    common = common_subsequence(places, len(words), reference)
    # In the order of rouge-score: the same rounding.
    if not common:
        return 0.0
    precision, recall = common / len(words), common / len(reference)
    return 2 * precision * recall / (precision + recall)


def word_places(words: Sequence[str]) -> dict[str, int]:
    """Where each word stands, as the bits of an integer: the first word is bit 0."""
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    return places


def common_subsequence(places: Mapping[str, int], length: int, other: Sequence[str]) -> int:
    """Length of the longest common subsequence of a text of `length` words, given by its `word_places`, and `other`.

    Bit-parallel (Hyyro 2004, "Bit-parallel LCS-length computation revisited"): a column of the usual table is one
    integer, a bit of which is 0 where the table steps up. A word costs a few integer operations, so that a hundred
    thousand texts take seconds where the table takes minutes; the value is the same.
    """
    full = (1 << length) - 1
    flat = full
    for word in other:
        matched = flat & places.get(word, 0)
        if matched:
            flat = (flat + matched | flat - matched) & full
    return length - flat.bit_count()
