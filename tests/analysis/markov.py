"""A small honest world of texts: checkpoints that are next-token tables, prompts with a topic, three ways to sample.

A checkpoint is a first-order Markov table of logits: what all share plus noise of its own, and sharper or flatter as a
whole. A prompt is a first token and a topic: a number added to every token's logit. Each text follows the same law
whichever coupling samples it; the couplings differ in what texts of different checkpoints have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.inference import noise
from harness.inference.sampler import sample

VOCABULARY, LENGTH = 30, 40
# How far the tables of two checkpoints lie apart, in logits and in the logarithm of their sharpness; a topic's height.
APART, SHARPNESS, TOPIC = 0.5, 0.08, 0.5
TOP_K = (10, VOCABULARY)
METRICS = ("distinct-2", "nll")
Floats = NDArray[np.float64]
# Of logits [rows, V], top-k [rows] and the index of the new token: the drawn tokens [rows].
Draw = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class World:
    """Checkpoints and prompts.

    Attributes:
        tables: logits by checkpoint, last token and next token, float64 [runs, V, V].
        first: the first token of each prompt, int64 [prompts].
        topics: float64 [prompts, V].
    """

    tables: Tensor
    first: Tensor
    topics: Tensor


class Rows(NamedTuple):
    """The factors of every text, int64 [rows]; rows are in the order (setting, run, prompt, level)."""

    setting: Tensor
    run: Tensor
    prompt: Tensor
    level: Tensor


def language(dice: np.random.Generator) -> Floats:
    """The table that all checkpoints of a world share, float64 [V, V]."""
    return 1.5 * dice.standard_normal((VOCABULARY, VOCABULARY))


def world_of(shared: Floats, runs: int, prompts: int, dice: np.random.Generator) -> World:
    """Draws checkpoints and prompts of a language."""
    tables = shared + APART * dice.standard_normal((runs, VOCABULARY, VOCABULARY))
    tables *= np.exp(SHARPNESS * dice.standard_normal((runs, 1, 1)))
    first = dice.integers(VOCABULARY, size=prompts)
    topics = TOPIC * dice.standard_normal((prompts, VOCABULARY))
    return World(torch.tensor(tables), torch.tensor(first), torch.tensor(topics))


def crossed_rows(runs: int, prompts: int, levels: int) -> Rows:
    """Every combination of setting, run, prompt and decode level."""
    factors = np.indices((len(TOP_K), runs, prompts, levels)).reshape(4, -1)
    return Rows(*(torch.tensor(factor) for factor in factors))


def shared_gumbel(rows: Rows, seed: int) -> Draw:
    """The project's sampler as it is: noise belongs to prompt and level."""
    return _keyed([(f"p{prompt}", level) for prompt, level in _pairs(rows.prompt, rows.level)], seed)


def independent(rows: Rows, seed: int) -> Draw:
    """The project's sampler with a noise of its own for every checkpoint."""
    own = rows.run * (int(rows.level.max()) + 1) + rows.level
    return _keyed([(f"p{prompt}", level) for prompt, level in _pairs(rows.prompt, own)], seed)


def shared_inverse_cdf(rows: Rows, seed: int) -> Draw:
    """One uniform number per (prompt, level, place): the first token at which the distribution function exceeds it."""
    size = int(rows.prompt.max()) + 1, int(rows.level.max()) + 1, LENGTH
    uniform = torch.tensor(np.random.default_rng(seed).random(size))[rows.prompt, rows.level]

    def draw(logits: Tensor, top_k: Tensor, index: int) -> Tensor:
        ranked = logits.sort(dim=1, descending=True).values
        last = ranked.gather(1, top_k[:, None] - 1)
        function = logits.masked_fill(logits < last, -torch.inf).softmax(1).cumsum(1)
        return (function <= uniform[:, index, None] * function[:, -1:]).sum(1).clamp(max=VOCABULARY - 1)

    return draw


COUPLINGS = {"shared Gumbel": shared_gumbel, "shared inverse CDF": shared_inverse_cdf, "independent": independent}


def _pairs(one: Tensor, two: Tensor) -> list[tuple[int, int]]:
    return list(zip(one.tolist(), two.tolist(), strict=True))


def _keyed(draws: list[tuple[str, int]], seed: int) -> Draw:
    keys = noise.row_keys(seed, draws)

    def draw(logits: Tensor, top_k: Tensor, index: int) -> Tensor:
        return sample(logits, top_k, torch.ones(len(top_k), dtype=torch.float64), keys, index).tokens

    return draw


def measured(world: World, rows: Rows, draw: Draw) -> dict[str, Floats]:
    """Generates a text per row and measures it: `distinct-2`, and `nll` in nats a token under its own checkpoint.

    Returns: by metric, float64 [rows].
    """
    top_k = torch.tensor(TOP_K)[rows.setting]
    token, texts = world.first[rows.prompt], torch.empty((len(top_k), LENGTH), dtype=torch.int64)
    loss = torch.zeros(len(top_k), dtype=torch.float64)
    for index in range(LENGTH):
        logits = world.tables[rows.run, token] + world.topics[rows.prompt]
        token = texts[:, index] = draw(logits, top_k, index)
        loss -= logits.log_softmax(1).gather(1, token[:, None])[:, 0]
    pairs = (texts[:, :-1] * VOCABULARY + texts[:, 1:]).sort(dim=1).values
    distinct = 1 + (pairs[:, 1:] != pairs[:, :-1]).sum(1)
    return {"distinct-2": (distinct / pairs.shape[1]).double().numpy(), "nll": (loss / LENGTH).numpy()}
