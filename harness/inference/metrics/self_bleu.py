"""Self-BLEU: how much the texts of a set resemble one another. High is uniform, low is diverse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from harness.inference.metrics.ngrams import Ngram, ngram_counts
from harness.inference.metrics.registry import Text, text_metric

ORDERS = (1, 2, 3, 4)
# NLTK's smoothing "method 1": a precision without a match counts as a tenth of a match.
EPSILON = 0.1


@text_metric(
    "self-bleu-4",
    unit="set",
    source="Zhu, Lu, Zheng, Guo, Zhang, Wang, Yu 2018 (Texygen), arXiv 1802.01886",
    description="mean BLEU-4 of each text against all the others of the set; smoothed, closest length; low is diverse",
)
def self_bleu_4(texts: Sequence[Text]) -> float:
    """Mean over the texts of BLEU-4 (Papineni et al. 2002, ACL P02-1040) with all other texts as references.

    Uniform weights; precisions without a match smoothed as Chen, Cherry 2014 (ACL W14-3346) technique 1 with epsilon
    0.1; brevity against the closest reference length, the shorter at a tie: the values of NLTK's `sentence_bleu` with
    `method1`. A text with fewer than four tokens has no 4-gram: it serves as a reference but is not in the mean.

    Returns: in [0, 1]; NaN with fewer than two texts or when none has four tokens.
    """
    sequences = [text.token_ids for text in texts]
    judged = [place for place, sequence in enumerate(sequences) if len(sequence) >= ORDERS[-1]]
    if len(sequences) < 2 or not judged:
        return float("nan")
    matches = [_matches_with_the_others(sequences, n) for n in ORDERS]
    lengths = Counter(map(len, sequences))
    scores = [_bleu(len(sequences[place]), [order[place] for order in matches], lengths) for place in judged]
    return math.fsum(scores) / len(scores)


def _matches_with_the_others(sequences: Sequence[tuple[int, ...]], n: int) -> list[int]:
    """Clipped n-gram matches of each text against all others.

    A text's n-gram is clipped to the largest count in any other text. The two largest counts over all texts tell that
    one: it is the second if the text itself has the first. So the cost is linear in the number of texts.
    """
    counts = [ngram_counts(sequence, n) for sequence in sequences]
    first: dict[Ngram, int] = {}
    second: dict[Ngram, int] = {}
    for counted in counts:
        for ngram, count in counted.items():
            largest = first.get(ngram, 0)
            second[ngram] = max(second.get(ngram, 0), min(count, largest))
            first[ngram] = max(count, largest)
    # A text that holds the largest count cannot match more than the second; any other not more than its own count.
    return [
        sum(min(count, second[ngram] if count == first[ngram] else count) for ngram, count in counted.items())
        for counted in counts
    ]


def _bleu(length: int, matches: Sequence[int], lengths: Counter[int]) -> float:
    """BLEU-4 of one text from its clipped matches; `lengths` counts the lengths of all texts, its own included."""
    if matches[0] == 0:
        return 0.0
    totals = [length - n + 1 for n in ORDERS]
    precisions = [(match or EPSILON) / total for match, total in zip(matches, totals, strict=True)]
    mean = math.fsum(0.25 * math.log(precision) for precision in precisions)
    closest = _closest(length, lengths)
    brevity = 1.0 if length > closest else math.exp(1 - closest / length)
    return brevity * math.exp(mean)


def _closest(length: int, lengths: Counter[int]) -> int:
    others = (other for other, count in lengths.items() if other != length or count > 1)
    return min(others, key=lambda other: (abs(other - length), other))
