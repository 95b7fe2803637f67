"""Does a row's result depend on its neighbours in the batch? Measured, for the model, threads and machine at hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.evaluation.mode import eval_mode
from harness.inference.chunks import batch_rows
from harness.inference.engine import FEWEST_ROWS
from harness.inference.tree import PrefixTree

_PROMPTS = 16
_PROMPT_TOKENS = 8
_STEPS = 2


def row_independence(model: Any, rows: int | None = None, length: int = _PROMPT_TOKENS) -> bool:
    """Whether logits are bit-equal in a batch of the size that requests use and in batches of few rows.

    Compared are a prefill of 16 prompts against prefills of 4, and cached steps (the first of which parts the rows of
    a prompt) of `rows` texts against 4 and 7 of them, at the number of threads that torch has now. It proves that for
    these shapes; that other lengths and sizes in between behave alike is what was seen wherever this was tried.

    True is what makes generated texts a pure function of their row (seen on CPUs with one torch thread). Where it is
    False (two threads, GPUs) texts may differ between grids that cut their rows differently. Takes as long as two
    steps of a real batch; draws nothing from torch's global generator; gives the model back in the mode it had.

    Args:
        model: a causal language model of transformers.
        rows: size of a request's batches; None is the largest that the bound on memory allows.
        length: of the prompts; as much of it as the model's positions allow.
    """
    length = min(length, model.config.max_position_embeddings - _STEPS)
    rows = max(3 * FEWEST_ROWS, batch_rows(model, length + _STEPS) if rows is None else rows)
    tokens = _tokens(rows, length, model.config.vocab_size)
    with eval_mode(model):
        places = torch.arange(rows)
        parts = (places[:FEWEST_ROWS], places[-FEWEST_ROWS:], places[rows // 2 - 4 : rows // 2 + 3])
        together = _all_logits(model, tokens, length, torch.cat(parts))
        alone = [_all_logits(model, tokens[part], length, torch.arange(len(part))) for part in parts]
    return torch.equal(torch.cat(alone, dim=1), together)


def _tokens(rows: int, length: int, vocabulary: int) -> Tensor:
    """Token ids [rows, length + steps]: row r continues prompt r % 16 with a token of its own, if there are enough."""
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(vocabulary, (min(_PROMPTS, rows), length), generator=generator)
    # Equal prompts would be read as one.
    prompts[:, 0] = torch.arange(len(prompts)) % vocabulary
    row = torch.arange(rows)
    steps = torch.randint(vocabulary, (rows, _STEPS), generator=generator)
    steps[:, 0] = row // len(prompts) % vocabulary
    return torch.cat([prompts[row % len(prompts)], steps], dim=1)


def _all_logits(model: Any, tokens: Tensor, length: int, places: Tensor) -> Tensor:
    """Logits [1 + steps, P, V] of the rows at some places, after the prompt and after each further token."""
    tree = PrefixTree(model, [tuple(row) for row in tokens[:, :length].tolist()], FEWEST_ROWS)
    places = places.to(tree.node.device)
    logits = [tree.logits[tree.node[places]]]
    everyone = torch.ones(len(tokens), dtype=torch.bool, device=tree.node.device)
    for column in tokens[:, length:].to(tree.node.device).T:
        tree.advance(column, everyone)
        logits.append(tree.logits[tree.node[places]])
    return torch.stack(logits)
