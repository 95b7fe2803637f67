"""Which rows share a batch, and how many."""

from __future__ import annotations

import random

import pytest
from transformers import GPT2Config

from harness.inference.chunks import BYTES, MOST_ROWS, chunks, rows_in_memory

SMALL = GPT2Config(n_layer=12, n_embd=768, vocab_size=50257)


def request(prompts: int, rows: int, lengths: tuple[int, ...] = (3, 5)) -> list[tuple[int, ...]]:
    """`rows` rows of each of some prompts."""
    return [(prompt,) * lengths[prompt % len(lengths)] for prompt in range(prompts) for _ in range(rows)]


@pytest.mark.parametrize("limit", [1, 4, 7, 10, 36, 1000])
def test_every_row_is_in_one_chunk_of_one_length(limit: int) -> None:
    rows = request(9, 7)
    random.Random(0).shuffle(rows)
    parts = list(chunks(rows, limit))
    assert sorted(place for part in parts for place in part) == list(range(len(rows)))
    assert all(len({len(rows[place]) for place in part}) == 1 for part in parts)
    assert max(map(len, parts)) <= limit


def test_a_prompt_s_rows_stay_together_where_they_fit() -> None:
    rows = request(9, 7)
    random.Random(0).shuffle(rows)
    for limit, most in ((7, 1), (8, 1), (20, 2), (21, 3), (1000, 5)):
        parts = [{rows[place] for place in part} for part in chunks(rows, limit)]
        assert sum(map(len, parts)) == 9
        assert max(map(len, parts)) == most


def test_chunks_have_about_the_same_size() -> None:
    assert [len(part) for part in chunks(request(8, 36, (5,)), 195)] == [144, 144]
    assert [len(part) for part in chunks(request(1, 10), 4)] == [3, 3, 4]
    assert list(chunks([], 5)) == []


def test_rows_stay_within_the_bound() -> None:
    assert rows_in_memory(GPT2Config(n_layer=2, n_embd=64, vocab_size=400), 32, 4, "cpu") == MOST_ROWS
    # GPT-2 small: 4.4 MB of keys and values at 48 positions (a quarter of it room), .8 MB for the vocabulary.
    assert rows_in_memory(SMALL, 48, 4, "cpu") == BYTES["cpu"] // (30 * 768 * 48 * 4 + 16 * 50257) == 205
    assert rows_in_memory(SMALL, 1024, 4, "cpu") == 11
    assert rows_in_memory(SMALL, 1024, 2, "cpu") > 11
    assert rows_in_memory(SMALL, 1024, 4, "cuda") > 11
    assert rows_in_memory(GPT2Config(n_layer=96, n_embd=12288, n_positions=8192), 8192, 4, "cpu") == 1
