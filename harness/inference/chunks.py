"""Which rows of a request share a batch, and how many fit into memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

Tokens = tuple[int, ...]

# A worker's bound for one batch: keys and values, logits and what the sampler needs, beside the model's own weights.
BYTES = {"cpu": 2**30, "cuda": 2**33}
# More rows than this are hardly faster on a CPU.
MOST_ROWS = 512
# Logits of this step and the next one, and the sampler's part, for each token of the vocabulary. Measured as growth of
# the process, it is 5 to 8 at 50,257 tokens and up to 40 at 1,000, where keys and values are what counts.
_BYTES_PER_TOKEN = 16


def rows_in_memory(config: Any, positions: int, itemsize: int, device: str) -> int:
    """How many rows of a batch stay within the bound in bytes of a device; at least 1, at most MOST_ROWS.

    Args:
        config: of a causal language model of transformers.
        positions: tokens of a row at its end, its prompt included.
        itemsize: bytes of one of the model's numbers.
        device: type of device; one that is not known is taken for a CPU.
    """
    keys_and_values: int = 2 * config.num_hidden_layers * config.hidden_size * positions * itemsize
    # A quarter more: the room to grow that `tree.ReusingLayer` takes.
    row: int = keys_and_values * 5 // 4 + _BYTES_PER_TOKEN * config.vocab_size
    return max(1, min(MOST_ROWS, BYTES.get(device, BYTES["cpu"]) // row))


def batch_rows(model: Any, positions: int) -> int:
    """How many rows a batch of a model has where nobody says: `rows_in_memory` for its numbers and its device."""
    weights = next(model.parameters())
    return rows_in_memory(model.config, positions, weights.element_size(), weights.device.type)


def chunks(prompts: Sequence[Tokens], limit: int) -> Iterator[list[int]]:
    """Parts of a request: at most `limit` rows, of one prompt length, a prompt's rows together where they fit.

    Args:
        prompts: token ids of each row's prompt.
        limit: rows in a part.

    Returns: places in `prompts`; parts of one length have about the same size.
    """
    rank = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    places = sorted(range(len(prompts)), key=lambda place: (len(prompts[place]), rank[prompts[place]]))
    for _, bucket in groupby(places, key=lambda place: len(prompts[place])):
        groups = [list(group) for _, group in groupby(bucket, key=lambda place: prompts[place])]
        yield from _packed([part for group in groups for part in _cut(group, limit)], limit)


def _cut(group: list[int], limit: int) -> list[list[int]]:
    parts = math.ceil(len(group) / limit)
    bounds = [len(group) * part // parts for part in range(parts + 1)]
    return [group[start:end] for start, end in pairwise(bounds)]


def _packed(groups: list[list[int]], limit: int) -> Iterator[list[int]]:
    total = sum(map(len, groups))
    even = math.ceil(total / math.ceil(total / limit))
    chunk: list[int] = []
    for group in groups:
        if chunk and (len(chunk) + len(group) > limit or len(chunk) >= even):
            yield chunk
            chunk = []
        chunk = chunk + group
    yield chunk
