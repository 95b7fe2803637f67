"""Keyed Gumbel top-k: the next token is argmax over the k best of (logit / temperature + Gumbel noise).

The argmax of logits plus independent Gumbel noise is an exact draw from their softmax (Gumbel 1954; Maddison, Tarlow,
Minka 2014, "A* sampling", arXiv 1411.0030), here from the softmax over the k best. As the noise belongs to the token
and not to the setting, two k at one temperature and the same prefix agree as often as any coupling can make them.

Exactly k tokens compete: at a tie of the k-th best the lowest ids are in. k=1 is argmax. Every result is a pure
function of its own row: no sum depends on which other k are in the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.errors import CellError
from harness.inference import noise

# Up to this vocabulary size `all` computes every token's noise; above it the exact lazy form is cheaper.
SMALL_VOCABULARY = 1024
# How many of the best tokens the lazy form looks at before it asks which others could still win.
LAZY_HEAD = 256


class Draw(NamedTuple):
    """One drawn token per row.

    Attributes:
        tokens: int64 [R].
        logprobs: float64 [R], nats, under the full softmax at temperature 1.
        sampling_logprobs: float64 [R], nats, under the k best at the temperature; 0 for k=1.
    """

    tokens: Tensor
    logprobs: Tensor
    sampling_logprobs: Tensor


def sample(logits: Tensor, top_k: Tensor, temperature: Tensor, row_keys: Tensor, index: int | Tensor) -> Draw:
    """Draws the next token of each row.

    Args:
        logits: [R, V]; narrower than float32 is widened before anything is compared.
        top_k: int64 [R], at least 1; V (or more) is the whole vocabulary.
        temperature: float64 [R], positive.
        row_keys: int64 [R], see `noise.row_keys`.
        index: index of the new token, from 0: int or int64 [R].

    Raises:
        CellError: a logit is not finite.
    """
    logits = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    _refuse_non_finite(logits)
    steps = noise.step_keys(row_keys, index)
    full = _log_normaliser(logits)
    whole = top_k >= logits.shape[1]
    if not whole.any():
        tokens, chosen = _draw_from_best(logits, top_k, temperature, steps)
    elif whole.all():
        tokens, chosen = _draw_from_all(logits, temperature, steps, full)
    else:
        tokens, chosen = torch.empty_like(top_k), torch.empty_like(full)
        few = ~whole
        tokens[few], chosen[few] = _draw_from_best(logits[few], top_k[few], temperature[few], steps[few])
        tokens[whole], chosen[whole] = _draw_from_all(logits[whole], temperature[whole], steps[whole], full[whole])
    drawn = logits.gather(1, tokens[:, None])[:, 0].double()
    return Draw(tokens, drawn - full, drawn / temperature - chosen)


def _refuse_non_finite(logits: Tensor) -> None:
    # One sum per row finds NaN, inf and -inf at once, at a fraction of the price of looking at each.
    if not logits.sum(1).isfinite().all():
        raise CellError("the model gives logits that are not finite: nothing can be sampled from it")


def _log_normaliser(logits: Tensor) -> Tensor:
    """Log sum exp over the vocabulary, float64 [R]; the exponentials are taken in the logits' own precision."""
    top = logits.amax(1, keepdim=True)
    return (logits - top).exp_().sum(1).double().log_() + top[:, 0].double()


def _draw_from_best(logits: Tensor, k: Tensor, temperature: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and log normaliser [R] of softmax(logits / temperature) over each row's own k < V best."""
    values, ids = _best(logits, k)
    left_out = torch.arange(values.shape[1], device=k.device) >= k[:, None]
    scaled = values.double() / temperature[:, None]
    scores = (scaled + noise.gumbels(steps, ids)).masked_fill_(left_out, -torch.inf)
    tokens = _lowest_id_of_best(scores, ids)
    # A running sum adds from the best down, then zeros: unlike a sum over the row it does not depend on the largest
    # k in the batch.
    weights = (scaled - scaled[:, :1]).exp_().masked_fill_(left_out, 0.0)
    return tokens, scaled[:, 0] + weights.cumsum(1)[:, -1].log_()


def _best(logits: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """Values and ids [R, max k] of the best, falling; the first k of a row are its k best, lowest ids at a tie."""
    widest = int(k.max())
    values, ids = logits.topk(widest + 1)
    last = values.gather(1, k[:, None] - 1)
    tied = (last == values.gather(1, k[:, None]))[:, 0].nonzero()[:, 0]
    if len(tied):
        _repair(ids, tied, logits[tied], values[tied], last[tied])
    return values[:, :widest], ids[:, :widest]


def _repair(ids: Tensor, tied: Tensor, logits: Tensor, values: Tensor, last: Tensor) -> None:
    """Gives the columns that hold the tied value of row `tied[i]` to its tokens with the lowest ids, in place.

    torch.topk keeps any of equal values. Only rows whose k-th and (k+1)-th best are equal come here.
    """
    first = (values > last).sum(1)
    columns = (values == last).sum(1)
    equal = logits == last
    rank = equal.cumsum(1) - 1
    row, token = (equal & (rank < columns[:, None])).nonzero(as_tuple=True)
    ids[tied[row], first[row] + rank[row, token]] = token


def _lowest_id_of_best(scores: Tensor, ids: Tensor) -> Tensor:
    """The id of each row's best score, int64 [R]; the lowest one where scores are equal."""
    best = scores.amax(1, keepdim=True)
    return ids.masked_fill(scores != best, torch.iinfo(torch.int64).max).amin(1)


def _draw_from_all(logits: Tensor, temperature: Tensor, steps: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens and log normaliser [R] of softmax(logits / temperature) over the vocabulary."""
    one = bool((temperature == 1).all())
    chosen = full if one else _log_normaliser(logits / temperature[:, None].to(logits.dtype))
    draw = _argmax_of_all if logits.shape[1] <= SMALL_VOCABULARY else _argmax_of_all_lazily
    return draw(logits, temperature, steps), chosen


def _argmax_of_all(logits: Tensor, temperature: Tensor, steps: Tensor) -> Tensor:
    ids = torch.arange(logits.shape[1], device=logits.device)[None]
    scores = logits.double() / temperature[:, None] + noise.gumbels(steps, ids)
    return _lowest_id_of_best(scores, ids.expand_as(scores))


def _argmax_of_all_lazily(logits: Tensor, temperature: Tensor, steps: Tensor) -> Tensor:
    """The same token as `_argmax_of_all`, with some hundred logarithms a row instead of V.

    With b the best score among the head and v the head's last scaled logit, a token outside the head can only win
    with noise of at least b - v. Whether it has that is read off its hash.
    """
    values, head = logits.topk(LAZY_HEAD)
    scaled = values.double() / temperature[:, None]
    scores = scaled + noise.gumbels(steps, head)
    best = scores.amax(1)
    slack = 1e-9 * (1 + best.abs() + scaled[:, -1].abs())
    rows, tokens = noise.tokens_reaching(steps, best - scaled[:, -1] - slack, logits.shape[1])
    rivals = logits[rows, tokens].double() / temperature[rows] + noise.gumbels(steps[rows], tokens)
    best = best.scatter_reduce(0, rows, rivals, "amax")
    winner = head.masked_fill(scores != best[:, None], logits.shape[1]).amin(1)
    rivals_won = tokens.masked_fill(rivals != best[rows], logits.shape[1])
    return winner.scatter_reduce(0, rows, rivals_won, "amin")
