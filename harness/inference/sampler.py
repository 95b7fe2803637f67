"""Keyed Gumbel sampling: the next token is argmax over the candidates of (logit / temperature + Gumbel noise).

The argmax of logits plus independent Gumbel noise is an exact draw from their softmax (Gumbel 1954; Maddison, Tarlow,
Minka 2014, "A* sampling", arXiv 1411.0030), here from the softmax over the candidates that the filters leave (module
`candidates`). As the noise belongs to the token and not to the setting, two k, top_p or min_p at one temperature and
the same prefix agree as often as any coupling can make them.

Exactly k tokens compete: at a tie of the k-th best the lowest ids are in. k=1 is argmax. Every result is a pure
function of its own row: no sum depends on which other settings are in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from harness.errors import CellError
from harness.inference import noise
from harness.inference.candidates import Candidates, Rows, best_tokens, candidates
from harness.inference.sums import LARGEST_VOCABULARY, blocks, log_normalisers, log_normalisers_at, masses

# Up to this vocabulary size `all` computes every token's noise; above it the exact lazy form is cheaper.
SMALL_VOCABULARY = 1024
# How many of the best tokens the lazy form looks at before it asks which others could still win.
LAZY_HEAD = 256
# How many of the best tokens are looked at where top-p or min-p filter the whole vocabulary; at last all of them.
_NUCLEUS_HEADS = (128, 2048)
# Rows of like k are worked on together, up to the largest of them: fewer best tokens to find, less noise to make. It
# pays where there are so many logits.
_K_CLASSES = (0, 15, 128, 2048)
_MANY_NUMBERS = 2**17


class Draw(NamedTuple):
    """One drawn token per row.

    Attributes:
        tokens: int64 [R].
        logprobs: float64 [R], nats, under the full softmax at temperature 1.
        sampling_logprobs: float64 [R], nats, under the candidates at the temperature; 0 where there is only one.
    """

    tokens: Tensor
    logprobs: Tensor
    sampling_logprobs: Tensor


def sample(
    logits: Tensor,
    top_k: Tensor,
    temperature: Tensor,
    row_keys: Tensor,
    index: int | Tensor,
    *,
    top_p: Tensor | None = None,
    min_p: Tensor | None = None,
    node: Tensor | None = None,
) -> Draw:
    """Draws the next token of each row.

    Args:
        logits: [N, V]; narrower than float32 is widened before anything is compared.
        top_k: int64 [R], at least 1; V (or more) is the whole vocabulary.
        temperature: float64 [R], positive.
        row_keys: int64 [R], see `noise.row_keys`.
        index: index of the new token, from 0: int or int64 [R].
        top_p: float64 [R] in (0, 1]; 1 (or None) is off.
        min_p: float64 [R] in [0, 1]; 0 (or None) is off.
        node: int64 [R], which of the N each row reads; None is its own (N = R). What rows share is computed once.

    Raises:
        CellError: a logit is not finite, or a vocabulary is too large for exact masses.
    """
    logits = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    _refuse(logits)
    node = torch.arange(len(top_k), device=top_k.device) if node is None else node
    top_p = torch.ones_like(temperature) if top_p is None else top_p
    min_p = torch.zeros_like(temperature) if min_p is None else min_p
    k, steps = top_k.clamp(max=logits.shape[1]), noise.step_keys(row_keys, index)
    rows = Rows(node, k, temperature, top_p, min_p, steps)
    full = log_normalisers(logits)
    tokens, chosen = torch.empty_like(k), torch.empty_like(temperature)
    for part, draw in _parts(rows, logits.shape[1]):
        tokens[part], chosen[part] = draw(logits, rows.take(part), full)
    drawn = logits[node, tokens].double()
    return Draw(tokens, drawn - full[node], drawn / temperature - chosen)


def _refuse(logits: Tensor) -> None:
    # One sum per row finds NaN, inf and -inf at once, at a fraction of the price of looking at each.
    if not logits.sum(1).isfinite().all():
        raise CellError("the model gives logits that are not finite: nothing can be sampled from it")
    if logits.shape[1] > LARGEST_VOCABULARY:
        raise CellError(f"a vocabulary of {logits.shape[1]} tokens: at most {LARGEST_VOCABULARY} can be sampled from")


_DrawPart = Callable[[Tensor, Rows, Tensor], tuple[Tensor, Tensor]]


def _parts(rows: Rows, vocabulary: int) -> Iterator[tuple[Tensor, _DrawPart]]:
    """The places of rows that are drawn in one way, and that way; parts that have rows only."""
    whole, filtered = rows.top_k >= vocabulary, rows.filtered
    classes = _K_CLASSES if len(whole) * vocabulary >= _MANY_NUMBERS else _K_CLASSES[:1]
    ways: list[tuple[Tensor, _DrawPart]] = [(whole & ~filtered, _draw_from_all), (whole & filtered, _draw_from_nucleus)]
    for low, high in pairwise((*classes, vocabulary)):
        ways.append((~whole & (rows.top_k > low) & (rows.top_k <= high), _draw_from_best))
    for chosen, draw in ways:
        places = chosen.nonzero()[:, 0]
        if len(places):
            yield places, draw


def _draw_from_best(logits: Tensor, rows: Rows, full: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and log normaliser [R] of the candidates among each row's own k < V best."""
    tokens, chosen, _ = _draw_from_head(logits, rows, int(rows.top_k.max()) + 1, None)
    return tokens, chosen


def _draw_from_nucleus(logits: Tensor, rows: Rows, full: Tensor) -> tuple[Tensor, Tensor]:
    """The same of the whole vocabulary with top-p or min-p: looks at more of it only for rows that need more."""
    total = _masses_where_needed(logits, rows)
    tokens, chosen = torch.empty_like(rows.top_k), torch.empty_like(rows.temperature)
    vocabulary, left = logits.shape[1], torch.arange(len(tokens), device=tokens.device)
    for width in (*(head for head in _NUCLEUS_HEADS if head < vocabulary), vocabulary):
        tokens[left], chosen[left], counts = _draw_from_head(logits, rows.take(left), width, total[left])
        left = left[counts == width]
        if not len(left):
            break
    return tokens, chosen


def _masses_where_needed(logits: Tensor, rows: Rows) -> Tensor:
    total = torch.zeros_like(rows.top_k)
    by_mass = (rows.top_p < 1).nonzero()[:, 0]
    if len(by_mass):
        total[by_mass] = masses(logits, rows.node[by_mass], rows.temperature[by_mass])
    return total


def _draw_from_head(logits: Tensor, rows: Rows, width: int, total: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, log normaliser and number of candidates [R], as far as the `width` best tokens tell."""
    found = []
    for part in blocks(torch.arange(len(rows.node), device=rows.node.device), width):
        own = candidates(logits, rows.take(part), width, None if total is None else total[part])
        found.append((_draw(own, rows.steps[part]), own.log_normaliser, own.competing))
    tokens, chosen, counts = (torch.cat(parts) for parts in zip(*found, strict=True))
    return tokens, chosen, counts


def _draw(found: Candidates, steps: Tensor) -> Tensor:
    left_out = torch.arange(found.ids.shape[1], device=steps.device) >= found.competing[:, None]
    scores = (found.scaled + noise.gumbels(steps, found.ids)).masked_fill_(left_out, -torch.inf)
    return _lowest_id_of_best(scores, found.ids)


def _lowest_id_of_best(scores: Tensor, ids: Tensor) -> Tensor:
    """The id of each row's best score, int64 [R]; the lowest one where scores are equal."""
    best = scores.amax(1, keepdim=True)
    return ids.masked_fill(scores != best, torch.iinfo(torch.int64).max).amin(1)


def _draw_from_all(logits: Tensor, rows: Rows, full: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and log normaliser [R] of softmax(logits / temperature) over the vocabulary."""
    chosen = full[rows.node]
    hot = (rows.temperature != 1).nonzero()[:, 0]
    if len(hot):
        chosen[hot] = log_normalisers_at(logits, rows.node[hot], rows.temperature[hot])
    draw = _argmax_of_all if logits.shape[1] <= SMALL_VOCABULARY else _argmax_of_all_lazily
    return draw(logits, rows), chosen


def _argmax_of_all(logits: Tensor, rows: Rows) -> Tensor:
    ids = torch.arange(logits.shape[1], device=logits.device)[None]
    scores = logits[rows.node].double() / rows.temperature[:, None] + noise.gumbels(rows.steps, ids)
    return _lowest_id_of_best(scores, ids.expand_as(scores))


def _argmax_of_all_lazily(logits: Tensor, rows: Rows) -> Tensor:
    """The same token as `_argmax_of_all`, with some hundred logarithms a row instead of V.

    With b the best score among the head and v the head's last scaled logit, a token outside the head can only win
    with noise of at least b - v. Whether it has that is read off its hash.
    """
    values, head = best_tokens(logits, rows.node, LAZY_HEAD)
    scaled = values.double() / rows.temperature[:, None]
    scores = scaled + noise.gumbels(rows.steps, head)
    best = scores.amax(1)
    slack = 1e-9 * (1 + best.abs() + scaled[:, -1].abs())
    row, tokens = noise.tokens_reaching(rows.steps, best - scaled[:, -1] - slack, logits.shape[1])
    rivals = logits[rows.node[row], tokens].double() / rows.temperature[row] + noise.gumbels(rows.steps[row], tokens)
    best = best.scatter_reduce(0, row, rivals, "amax")
    winner = head.masked_fill(scores != best[:, None], logits.shape[1]).amin(1)
    rivals_won = tokens.masked_fill(rivals != best[row], logits.shape[1])
    return winner.scatter_reduce(0, row, rivals_won, "amin")
