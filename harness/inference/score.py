"""Log-probabilities of given texts under a causal language model, teacher forced.

A text's numbers are a pure function of the model and its own tokens, whatever else is scored. On a CPU with ONE torch
thread that holds for every bit, for the reasons that the engine gives: nothing is padded, because the rows of one
forward have exactly one length, and no forward has fewer than FEWEST_ROWS rows.

The numbers agree with those that the engine writes while it samples up to rounding (about 1e-6 in float32), not in
every bit: the engine reads one token at a time, here a text is read at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from harness.data.families import first_position
from harness.errors import CellError
from harness.evaluation.mode import eval_mode
from harness.inference.engine import FEWEST_ROWS
from harness.inference.sums import log_normalisers

Tokens = tuple[int, ...]
Item = TypeVar("Item")

# Logits of one forward: 64 MiB in float32, more only where FEWEST_ROWS rows of one text need more.
_LOGITS_AT_ONCE = 2**24


def score(model: Any, sequences: Sequence[tuple[Tokens, Tokens]]) -> list[tuple[float, ...]]:
    """Scores each continuation after its prompt under the full softmax at temperature 1.

    Args:
        model: a causal language model of transformers; put in eval mode and given back as it was. Draws nothing from
            torch's generators.
        sequences: (token ids of the prompt, token ids of the continuation); equal ones are computed once.

    Returns: in the order asked, one log-probability (nats, computed as float64 from the model's own logits) for each
        token of the continuation; () where it has none.

    Raises:
        CellError: a prompt is empty, a sequence does not fit into the model's positions, a token id is not in its
            vocabulary, or a log-probability is not finite.
    """
    distinct = [sequence for sequence in dict.fromkeys(sequences) if sequence[1]]
    for prompt, text in distinct:
        _check(prompt, text, model.config)
    done: dict[tuple[Tokens, Tokens], tuple[float, ...]] = {}
    with eval_mode(model):
        for batch in equal_lengths(distinct, _total, lambda length: _LOGITS_AT_ONCE // length // vocabulary(model)):
            done.update(zip(batch, _score_batch(model, batch), strict=True))
    return [done.get(sequence, ()) for sequence in sequences]


def equal_lengths(
    items: Sequence[Item], length: Callable[[Item], int], rows: Callable[[int], int]
) -> Iterator[list[Item]]:
    """Items of exactly one length, in parts of nearly equal size.

    Args:
        length: of an item.
        rows: at most so many items of a length in a part; fewer than FEWEST_ROWS are taken for FEWEST_ROWS.
    """
    for size, bucket in groupby(sorted(items, key=length), key=length):
        members = list(bucket)
        parts = math.ceil(len(members) / max(FEWEST_ROWS, rows(size)))
        bounds = [len(members) * part // parts for part in range(parts + 1)]
        yield from (members[start:end] for start, end in pairwise(bounds))


def token_batch(rows: Sequence[Tokens], device: torch.device) -> Tensor:
    """Token ids int64 [N, L] of rows of one length; the last row is repeated until there are FEWEST_ROWS."""
    return torch.tensor([*rows, *[rows[-1]] * (FEWEST_ROWS - len(rows))], device=device)


def positions(config: Any) -> int | None:
    """How many tokens a model can read; None where its positions have no end."""
    known = getattr(config, "max_position_embeddings", None)
    return None if known is None else int(known) - first_position(config.model_type, config.pad_token_id or 0)


def vocabulary(model: Any) -> int:
    """How many token ids a model knows."""
    return int(model.get_input_embeddings().num_embeddings)


def _total(sequence: tuple[Tokens, Tokens]) -> int:
    return len(sequence[0]) + len(sequence[1])


def _check(prompt: Tokens, text: Tokens, config: Any) -> None:
    if not prompt:
        raise CellError("a text without a prompt cannot be scored: nothing comes before its first token")
    # The last token is predicted, never read.
    read, limit = len(prompt) + len(text) - 1, positions(config)
    if limit is not None and read > limit:
        raise CellError(
            f"a prompt of {len(prompt)} tokens and a text of {len(text)} exceed the model's {limit} positions"
        )
    if not 0 <= min(*prompt, *text) <= max(*prompt, *text) < config.vocab_size:
        raise CellError(f"a text has a token id outside the model's vocabulary of {config.vocab_size}")


def _score_batch(model: Any, batch: Sequence[tuple[Tokens, Tokens]]) -> list[tuple[float, ...]]:
    ids = token_batch([prompt + text for prompt, text in batch], next(model.parameters()).device)
    longest = max(len(text) for _, text in batch)
    logits = model(input_ids=ids[:, :-1], use_cache=False, logits_to_keep=longest).logits
    return [_logprobs(logits[row, -len(text) :], ids[row, -len(text) :]) for row, (_, text) in enumerate(batch)]


def _logprobs(logits: Tensor, tokens: Tensor) -> tuple[float, ...]:
    """Log-probabilities of token ids [N] under logits [N, V]."""
    logits = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    found = logits.gather(1, tokens[:, None])[:, 0].double() - log_normalisers(logits)
    if not found.isfinite().all():
        raise CellError("the model gives a text a log-probability that is not finite")
    return tuple(found.tolist())
