"""Self-BLEU: how much the texts of a set resemble one another. High is uniform, low is diverse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np

from harness.inference.metrics.pooled import Sequences, grams
from harness.inference.metrics.registry import Text, text_metric

# NLTK's smoothing "method 1": a precision without a match counts as a tenth of a match.
EPSILON = 0.1


def self_bleu(texts: Sequence[Text], orders: int) -> float:
    """Mean over the texts of BLEU (Papineni et al. 2002, ACL P02-1040) with all other texts as references.

    Uniform weights for n from 1 to `orders`; precisions without a match smoothed as Chen, Cherry 2014 (ACL W14-3346)
    technique 1 with epsilon 0.1; brevity against the closest reference length, the shorter at a tie: the values of
    NLTK's `sentence_bleu` with `method1`. A text too short for the longest n-gram is a reference but not in the mean.

    Returns: in [0, 1]; NaN with fewer than two texts or when none has `orders` tokens.
    """
    sequences = tuple(text.token_ids for text in texts)
    judged = [place for place, sequence in enumerate(sequences) if len(sequence) >= orders]
    if len(sequences) < 2 or not judged:
        return float("nan")
    matches = [_matches_with_the_others(sequences, n) for n in range(1, orders + 1)]
    lengths = Counter(map(len, sequences))
    scores = [_bleu(len(sequences[place]), [order[place] for order in matches], lengths) for place in judged]
    return math.fsum(scores) / len(scores)


for _orders, _note in ((4, ""), (5, "; n to 5 is what the code of Holtzman et al. 2020 (arXiv 1904.09751) computes")):
    text_metric(
        f"self-bleu-{_orders}",
        unit="set",
        source=f"Zhu, Lu, Zheng, Guo, Zhang, Wang, Yu 2018 (Texygen), arXiv 1802.01886{_note}",
        description=f"mean BLEU-{_orders} of each text against all the others of the set; smoothed, closest length; "
        "low is diverse",
    )(partial(self_bleu, orders=_orders))


@lru_cache(maxsize=4)  # the other number of orders asks for the same
def _matches_with_the_others(sequences: Sequences, n: int) -> list[int]:
    """Clipped n-gram matches of each text against all others.

    A text's n-gram is clipped to the largest count in any other text. So its j-th occurrence in the text matches if
    another text has a j-th one, too: if (n-gram, j) stands in two texts or more. The cost is that of sorting, not that
    of comparing all pairs of texts.
    """
    ids, _, owners = grams(sequences, n)
    order = np.argsort(ids * len(sequences) + owners, kind="stable")
    ids, owners = ids[order], owners[order]
    first = np.r_[True, (np.diff(ids) != 0) | (np.diff(owners) != 0)][: len(ids)]
    places = np.arange(len(ids))
    occurrence = places - np.maximum.accumulate(np.where(first, places, 0))
    _, which, texts = np.unique(ids * (len(ids) + 1) + occurrence, return_inverse=True, return_counts=True)
    matched = owners[texts[which] > 1]
    return [int(count) for count in np.bincount(matched, minlength=len(sequences))]


def _bleu(length: int, matches: Sequence[int], lengths: Counter[int]) -> float:
    """BLEU of one text from its clipped matches, n from 1; `lengths` counts the lengths of all texts, its own too."""
    if matches[0] == 0:
        return 0.0
    totals = [length - n for n in range(len(matches))]
    precisions = [(match or EPSILON) / total for match, total in zip(matches, totals, strict=True)]
    mean = math.fsum(1 / len(matches) * math.log(precision) for precision in precisions)
    closest = _closest(length, lengths)
    brevity = 1.0 if length > closest else math.exp(1 - closest / length)
    return brevity * math.exp(mean)


def _closest(length: int, lengths: Counter[int]) -> int:
    others = (other for other, count in lengths.items() if other != length or count > 1)
    return min(others, key=lambda other: (abs(other - length), other))
