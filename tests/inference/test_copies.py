"""The longest copied span against brute force, and planted copies."""

from __future__ import annotations

import random

import numpy as np
import pytest

from harness.inference.copies import longest_copies


def brute_force(text: list[int], documents: list[list[int]]) -> int:
    """Length of the longest common contiguous run of a text and one document."""
    spans = {tuple(d[i:j]) for d in documents for i in range(len(d)) for j in range(i + 1, len(d) + 1)}
    return max(
        (j - i for i in range(len(text)) for j in range(i, len(text) + 1) if tuple(text[i:j]) in spans), default=0
    )


@pytest.mark.parametrize("vocabulary", [1, 2, 3, 8, 1000])
def test_random_cases_equal_brute_force(vocabulary: int) -> None:
    dice = random.Random(vocabulary)

    def rows(count: int) -> list[list[int]]:
        return [[dice.randrange(vocabulary) for _ in range(dice.randrange(13))] for _ in range(count)]

    for _ in range(12):
        texts, documents = rows(9), rows(6)
        assert longest_copies(texts, documents).tolist() == [brute_force(text, documents) for text in texts]


def test_a_planted_copy_is_found_whole_and_not_across_two_documents() -> None:
    dice = np.random.default_rng(3)
    documents = [dice.integers(0, 500, 400).astype(np.int32) for _ in range(5)]
    fresh = np.arange(500, 540, dtype=np.int32)  # tokens that no document has
    copied = np.concatenate([fresh[:7], documents[2][100:131], fresh[7:20]])
    across = np.concatenate([documents[0][-9:], documents[1][:6]])
    assert longest_copies([copied, fresh, documents[4], across], documents).tolist() == [31, 0, 400, 9]


def test_a_text_does_not_run_into_the_next_one() -> None:
    assert longest_copies([[1, 2], [3, 4], [5]], [[1, 2, 3, 4, 5]]).tolist() == [2, 2, 1]


def test_order_and_token_zero_matter() -> None:
    assert longest_copies([[0, 0, 0], [2, 1], [1, 0, 2]], [[0, 0, 1, 2]]).tolist() == [2, 1, 1]


def test_nothing_is_copied_of_nothing() -> None:
    assert longest_copies([], [[1]]).tolist() == []
    assert longest_copies([[], [1]], []).tolist() == [0, 0]
    assert longest_copies([[], [1]], [[], []]).tolist() == [0, 0]
