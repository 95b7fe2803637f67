"""Sums over a vocabulary: log normalisers in the logits' own precision, and masses that are exact.

A mass is a sum of whole numbers, round(2^44 * exp(scaled logit - that of the best token)). Such sums are exact in any
order and at any width, so a row's result cannot depend on its neighbours, and running sums of integers have a
deterministic form on GPUs where those of floats have none.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The weight of a row's first token. 2^19 tokens of it would be 2^63, one too many for int64.
UNIT = 2**44
LARGEST_VOCABULARY = 2**19 - 1
# So many numbers at once stay in a CPU's cache (and below the size at which each new tensor costs page faults).
_NUMBERS_AT_ONCE = {"cpu": 2**18}
_NUMBERS_AT_ONCE_ELSEWHERE = 2**27


def rows_at_once(device: torch.device, width: int) -> int:
    """How many rows of `width` numbers are cheap to work on together."""
    return max(1, _NUMBERS_AT_ONCE.get(device.type, _NUMBERS_AT_ONCE_ELSEWHERE) // width)


def blocks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """`rows` in parts of `rows_at_once`."""
    return torch.split(rows, rows_at_once(rows.device, width))


def masses(logits: Tensor, node: Tensor, temperature: Tensor) -> Tensor:
    """Mass of the whole vocabulary at each row's temperature, int64 [R]; in units of the best token's / UNIT."""
    pair, at, heat = _distinct_pairs(node, temperature, logits.shape[1])
    found = []
    for block in blocks(torch.arange(len(at), device=at.device), logits.shape[1]):
        scaled = logits[at[block]].double() / heat[block, None]
        found.append(exact_weights(scaled, scaled.amax(1, keepdim=True)).sum(1))
    return torch.cat(found)[pair]


def _distinct_pairs(node: Tensor, temperature: Tensor, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each combination of [R] nodes and temperatures once: (which one a row has [R], nodes [P], temperatures [P])."""
    if len(node) <= rows_at_once(node.device, vocabulary):
        return torch.arange(len(node), device=node.device), node, temperature  # Repeats cost less than finding them.
    heats, heat = torch.unique(temperature, return_inverse=True)
    codes, pair = torch.unique(node * len(heats) + heat, return_inverse=True)
    return pair, codes // len(heats), heats[codes % len(heats)]


def log_normalisers(logits: Tensor) -> Tensor:
    """Log sum exp over the vocabulary, float64 [N]; the exponentials are taken in the logits' own precision."""
    at_once = rows_at_once(logits.device, logits.shape[1])
    return torch.cat([_log_normaliser(part) for part in torch.split(logits, at_once)])


def _log_normaliser(logits: Tensor, temperature: Tensor | None = None) -> Tensor:
    top = logits.amax(1, keepdim=True)
    if temperature is None:
        return (logits - top).exp_().sum(1).double().log_() + top[:, 0].double()
    scaled = (logits - top).div_(temperature[:, None].to(logits.dtype))
    return scaled.exp_().sum(1).double().log_() + top[:, 0].double() / temperature


def log_normalisers_at(logits: Tensor, node: Tensor, temperature: Tensor) -> Tensor:
    """Log sum exp of logits / temperature over the vocabulary, float64 [R]."""
    pair, at, heat = _distinct_pairs(node, temperature, logits.shape[1])
    every = torch.arange(len(at), device=at.device)
    found = [_log_normaliser(logits[at[part]], heat[part]) for part in blocks(every, logits.shape[1])]
    return torch.cat(found)[pair]


def exact_weights(scaled: Tensor, best: Tensor) -> Tensor:
    """Weights, int64 [R, W], UNIT for the best token; of float64 logits / temperature [R, W] and the best [R, 1]."""
    return ((scaled - best).exp_() * UNIT).round_().long()
