"""Metrics that count n-grams, against brute force, regular expressions, scipy, numpy and NLTK."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from fractions import Fraction
from statistics import mean

import numpy as np
import pytest
from nltk.util import ngrams
from scipy.stats import entropy

from harness.inference.metrics import METRICS, Text, set_metrics, text_metrics
from harness.inference.metrics.zipf import TYPES


def draw(seed: int, size: int, vocabulary: int = 6, longest: int = 12) -> list[tuple[int, ...]]:
    dice = random.Random(seed)
    return [tuple(dice.randrange(vocabulary) for _ in range(dice.randrange(longest))) for _ in range(size)]


def of_set(name: str, sequences: list[tuple[int, ...]], vocabulary: int | None = None) -> float:
    return set_metrics([Text(sequence, vocabulary=vocabulary) for sequence in sequences])[name]


def of_text(name: str, *token_ids: int, vocabulary: int | None = None) -> float:
    return float(text_metrics([Text(token_ids, vocabulary=vocabulary)])[name][0])


def pooled(sequences: list[tuple[int, ...]], n: int) -> Counter[tuple[int, ...]]:
    """NLTK's n-grams of each text, counted together."""
    return Counter(gram for sequence in sequences for gram in ngrams(sequence, n))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_seq_rep_counts_what_repeats(n: int) -> None:
    for sequence in draw(n, 50, vocabulary=2):
        grams = list(ngrams(sequence, n))
        repeats = sum(gram in grams[:place] for place, gram in enumerate(grams))
        expected = repeats / len(grams) if grams else math.nan
        assert of_text(f"seq-rep-{n}", *sequence) == pytest.approx(expected, nan_ok=True)


def test_a_loop_is_what_a_regular_expression_finds() -> None:
    every = ("".join(letters) for length in range(11) for letters in itertools.product("ab", repeat=length))
    dice = random.Random(0)
    grown = [dice.choice("abc") * 2 + "".join(dice.choices("abc", k=dice.randrange(1, 9))) * 4 for _ in range(300)]
    cut = [text[: -dice.randrange(1, 9)] for text in grown]
    found = Counter[float]()
    for text in itertools.chain(every, grown, cut):
        expected = float(re.search(r"(.{2,})\1\1\Z", text) is not None)
        assert of_loop(text) == expected, text
        found[expected] += 1
    assert min(found[0.0], found[1.0]) > 200


def of_loop(letters: str) -> float:
    return METRICS["repetition-loop"].function(Text(tuple(map(ord, letters))))


def test_loops_by_hand() -> None:
    assert of_loop("xyabcabcabc") == 1
    assert of_loop("xyabcabcabcab") == 1  # cut short in the fourth copy: `cab` three times
    assert of_loop("abcabcabcx") == 0  # it must end so
    assert of_loop("xyabcabc") == of_loop("abcabcab") == 0  # not three times
    assert of_loop("aaaaaa") == 1
    assert of_loop("aaaaa") == of_loop("") == 0


@pytest.mark.parametrize(("vocabulary", "length"), [(2, 1), (2, 5), (3, 4), (5, 4)])
def test_the_expectation_of_ead_is_the_mean_over_all_texts(vocabulary: int, length: int) -> None:
    # The adjusted number is (distinct in this text) / (mean distinct over every text of that length).
    texts = list(itertools.product(range(vocabulary), repeat=length))
    expected = mean(len(set(text)) for text in texts)
    for text in texts[:: len(texts) // 7 + 1]:
        assert of_text("ead-1", *text, vocabulary=vocabulary) == pytest.approx(len(set(text)) / expected, rel=1e-12)


def ead(distinct: int, draws: int, types: int) -> float:
    return float(distinct / (types * (1 - Fraction(types - 1, types) ** draws)))


@pytest.mark.parametrize("vocabulary", [7, 50_000])
@pytest.mark.parametrize("n", [1, 2])
def test_ead_equals_the_formula_in_fractions(n: int, vocabulary: int) -> None:
    sequences = draw(n, 9, longest=8)
    counts = pooled(sequences, n)
    expected = ead(len(counts), counts.total(), vocabulary**n)
    assert of_set(f"ead-{n}-set", sequences, vocabulary) == pytest.approx(expected, rel=1e-12)
    # 12 21 12: 2 distinct of 3 bigrams, 2 of 4 tokens.
    expected = ead(2, 5 - n, vocabulary**n)
    assert of_text(f"ead-{n}", 1, 2, 1, 2, vocabulary=vocabulary) == pytest.approx(expected, rel=1e-12)


def test_ead_needs_a_vocabulary_and_an_ngram() -> None:
    assert math.isnan(of_text("ead-1", 1, 2))
    assert math.isnan(of_text("ead-2", 1, vocabulary=9))
    assert math.isnan(of_set("ead-1-set", [(1, 2)]))
    assert math.isnan(of_set("ead-2-set", [(1,), ()], 9))
    assert of_text("ead-1", 0, 0, vocabulary=1) == 1


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_entropy_of_pooled_ngrams_is_scipys(n: int) -> None:
    for size in (1, 2, 30):
        # The long one makes sure that there are n-grams; they do not cross from text to text.
        sequences = [*draw(10 * n + size, size, vocabulary=3), (0, 1, 2, 0, 1, 1, 0)]
        expected = entropy(list(pooled(sequences, n).values()))
        assert of_set(f"entropy-{n}", sequences) == pytest.approx(expected, rel=1e-12)
    assert of_set(f"entropy-{n}", [(5,) * n, (5,) * n]) == 0
    assert math.isnan(of_set(f"entropy-{n}", [(5,) * (n - 1)]))
    assert math.isnan(of_set(f"entropy-{n}", []))


def test_zipf_of_an_exact_power_law() -> None:
    counts = {1: 60, 2: 30, 3: 20, 4: 15, 5: 12, 6: 10}
    text = tuple(token for token, count in counts.items() for _ in range(count))
    assert of_set("zipf", [text[::-1], ()]) == pytest.approx(1, rel=1e-12)
    flat = of_set("zipf", [(1, 2), (3,)])
    assert flat == 0
    assert math.copysign(1, flat) == 1
    assert math.isnan(of_set("zipf", [(1, 1), (1,)]))
    assert math.isnan(of_set("zipf", []))


def test_zipf_is_numpys_line_through_the_most_frequent_tokens() -> None:
    # 100 tokens occur 101, 100, ... 2 times, the others once; of 8,000 types only 5,000 are looked at.
    tail = list(range(100, 8000))
    text = tuple([token for token in range(100) for _ in range(101 - token)] + tail)
    frequencies = [*range(101, 1, -1), *[1] * (TYPES - 100)]
    slope = np.polyfit(np.log(np.arange(1, TYPES + 1)), np.log(frequencies), 1)[0]
    assert of_set("zipf", [text]) == pytest.approx(-slope, rel=1e-9)


def test_coverage() -> None:
    assert of_set("vocabulary-coverage", [(1, 2, 2), (2, 7), ()], 10) == pytest.approx(3 / 10)
    assert of_set("vocabulary-coverage", [()], 10) == 0
    assert math.isnan(of_set("vocabulary-coverage", [(1, 2)]))
    assert math.isnan(of_set("vocabulary-coverage", []))


def test_texts_of_two_vocabularies_are_no_set() -> None:
    with pytest.raises(ValueError, match=r"\[5, 9\]"):
        METRICS["vocabulary-coverage"].function([Text((1,), vocabulary=9), Text((1,), vocabulary=5)])


@pytest.mark.parametrize("seed", range(6))
def test_distinct_of_a_set_is_nltks(seed: int) -> None:
    sequences = draw(seed, 8, longest=5)
    counts = pooled(sequences, 2)
    assert of_set("distinct-2-set", sequences) == pytest.approx(len(counts) / counts.total(), rel=1e-12)
