"""Diversity across replicates against brute force: pairs counted one by one, replicates left out one by one."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations
from statistics import mean

import pytest
from nltk.util import bigrams

from harness.inference.metrics import Text, prompt_metrics

Sequences = list[tuple[int, ...]]


def measured(name: str, sequences: Sequences) -> float:
    return prompt_metrics([Text(sequence) for sequence in sequences])[name]


def draw(seed: int, size: int) -> Sequences:
    dice = random.Random(seed)
    drawn = [tuple(dice.randrange(3) for _ in range(dice.randrange(14))) for _ in range(size)]
    return [*drawn[: size - 1], drawn[0]] if seed % 2 else drawn


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    a, b = Counter(bigrams(one)), Counter(bigrams(other))
    if not a and not b:
        return float(one != other)
    every = set(a) | set(b)
    return 1 - sum(min(a[gram], b[gram]) for gram in every) / sum(max(a[gram], b[gram]) for gram in every)


def over_pairs(sequences: Sequences) -> float:
    return mean(distance(one, other) for one, other in combinations(sequences, 2))


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_distinctness_is_the_mean_over_pairs(size: int) -> None:
    for seed in range(20):
        sequences = draw(seed, size)
        assert measured("replicate-distinctness", sequences) == pytest.approx(over_pairs(sequences), abs=1e-12)


@pytest.mark.parametrize("size", [3, 4, 8])
def test_the_error_is_that_of_leaving_each_replicate_out(size: int) -> None:
    for seed in range(20):
        sequences = draw(seed, size)
        without = [over_pairs(sequences[:place] + sequences[place + 1 :]) for place in range(size)]
        expected = math.sqrt((size - 1) / size * sum((one - mean(without)) ** 2 for one in without))
        assert measured("replicate-distinctness-error", sequences) == pytest.approx(expected, abs=1e-12)


def test_the_error_by_hand() -> None:
    # Two equal and one apart: distances 0, 1, 1; without one 1, 1, 0.
    assert measured("replicate-distinctness-error", [(1, 2), (1, 2), (3, 4)]) == pytest.approx(2 / 3)
    assert measured("replicate-distinctness-error", [(1, 2)] * 4) == 0
    assert math.isnan(measured("replicate-distinctness-error", [(1, 2), (3, 4)]))


def test_identical_is_the_share_of_equal_pairs() -> None:
    for seed in range(20):
        sequences = [sequence[:2] for sequence in draw(seed, 9)]
        expected = mean(float(one == other) for one, other in combinations(sequences, 2))
        assert measured("replicate-identical", sequences) == pytest.approx(expected, abs=1e-12)
    assert measured("replicate-identical", [(1, 2), (1, 2), (2, 1)]) == pytest.approx(1 / 3)
    assert measured("replicate-identical", [(), ()]) == 1
    assert math.isnan(measured("replicate-identical", [(1, 2)]))
