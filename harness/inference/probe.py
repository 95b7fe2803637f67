"""Does a row's result depend on its neighbours in the batch? Measured, for the model and machine at hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.evaluation.mode import eval_mode
from harness.inference.engine import FEWEST_ROWS, PrefixTree

_ROWS = 64
_PROMPT_TOKENS = 8
_STEPS = 3


def row_independence(model: Any) -> bool:
    """Whether logits are bit-equal in batches of 64 and of few rows, over a prefill and some cached steps.

    True is what makes generated texts a pure function of their row (seen on CPUs with one torch thread). Where it is
    False (two threads, GPUs) texts may differ between grids that cut their rows differently. Takes about a second;
    draws nothing from torch's global generator; gives the model back in the mode it had.
    """
    length = min(_PROMPT_TOKENS, model.config.max_position_embeddings - _STEPS)
    generator = torch.Generator().manual_seed(0)
    # Equal prompts would be read as one; a first token of its own keeps rows apart (all of them from 64 tokens on).
    tokens = torch.randint(model.config.vocab_size, (_ROWS, length + _STEPS), generator=generator)
    tokens[:, 0] = torch.arange(_ROWS) % model.config.vocab_size
    with eval_mode(model):
        together = _all_logits(model, tokens, length)
        parts = (slice(0, FEWEST_ROWS), slice(_ROWS - FEWEST_ROWS, _ROWS), slice(11, 18))
        return all(torch.equal(_all_logits(model, tokens[part], length), together[:, part]) for part in parts)


def _all_logits(model: Any, tokens: Tensor, length: int) -> Tensor:
    """Logits [1 + steps, R, V] after the prompt and after each further token."""
    tree = PrefixTree(model, [tuple(row) for row in tokens[:, :length].tolist()])
    logits = [tree.row_logits()]
    everyone = torch.ones(len(tokens), dtype=torch.bool, device=tree.node.device)
    for column in tokens[:, length:].to(tree.node.device).T:
        tree.advance(column, everyone)
        logits.append(tree.row_logits())
    return torch.stack(logits)
