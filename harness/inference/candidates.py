"""Which tokens compete for a draw: the filters temperature, top-k, top-p and min-p, in this order.

A row's tokens stand in one order: logit falling, id rising where logits are equal. What any of the filters leaves is a
beginning of that order, so together they come down to one number per row: how many compete (at least one).

- top-k: the k first (Fan, Lewis, Dauphin 2018, arXiv 1805.04833).
- top-p: of those, the fewest whose mass reaches `top_p` of the mass of the k (Holtzman et al. 2020, arXiv 1904.09751).
- min-p: of those, the ones with at least `min_p` of the first's probability (Nguyen et al. 2024, arXiv 2407.01082).

Masses are in whole numbers (module `sums`), which resolve 2^-44 (6e-14) of the first token's probability: a token with
less than half of that has no mass, so with top_p < 1 or min_p > 0 it is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from harness.inference.sums import UNIT, blocks, exact_weights


class Rows(NamedTuple):
    """What is drawn: one token per row, all fields [R].

    Attributes:
        node: int64, the row of the logits.
        top_k: int64, 1 .. V.
        temperature: float64, positive.
        top_p: float64, 1 is off.
        min_p: float64, 0 is off.
        steps: int64, see `noise.step_keys`.
    """

    node: Tensor
    top_k: Tensor
    temperature: Tensor
    top_p: Tensor
    min_p: Tensor
    steps: Tensor

    @property
    def filtered(self) -> Tensor:
        """Where top-p or min-p is on, bool [R]."""
        return (self.top_p < 1) | (self.min_p > 0)

    def take(self, which: Tensor) -> Rows:
        """The rows of these places."""
        return Rows(*(field[which] for field in self))


class Candidates(NamedTuple):
    """The tokens that compete in each row, in order, and columns beyond `competing` that do not.

    Attributes:
        scaled: float64 [R, W], logit / temperature.
        ids: int64 [R, W].
        competing: int64 [R], how many compete, 1 .. W.
        log_normaliser: float64 [R], log sum exp of `scaled` over the row's `competing` first.
    """

    scaled: Tensor
    ids: Tensor
    competing: Tensor
    log_normaliser: Tensor


def candidates(logits: Tensor, rows: Rows, width: int, total: Tensor | None = None) -> Candidates:
    """The filtered beginning of each row's order, looked for among its `width` first tokens.

    Args:
        logits: [N, V], float32 or wider, finite.
        rows: [R].
        width: at most V. A row of which all `width` compete, and whose k is larger, may have more of them.
        total: int64 [R], mass of each row's k best; None is that of what is looked at.
    """
    values, ids = best_tokens(logits, rows.node, width)
    scaled = values.double() / rows.temperature[:, None]
    weights = exact_weights(scaled, scaled[:, :1])
    weights.masked_fill_(torch.arange(width, device=ids.device) >= rows.top_k[:, None], 0)
    running = weights.cumsum(1)
    count = _count(weights, running, rows, running[:, -1] if total is None else total)
    _lowest_ids_first(logits, rows.node, values, ids, count)
    mass = running.gather(1, count[:, None] - 1)[:, 0]
    widest = int(count.max())
    return Candidates(scaled[:, :widest], ids[:, :widest], count, scaled[:, 0] + (mass.double() / UNIT).log_())


def best_tokens(logits: Tensor, node: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Values, falling, and ids [R, width] of each row's best; which of equal values are in is left open."""
    distinct, place = torch.unique(node, return_inverse=True)
    found = [logits[block].topk(width) for block in blocks(distinct, logits.shape[1])]
    values, ids = (torch.cat(parts) for parts in zip(*found, strict=True))
    return values[place], ids[place]


def _count(weights: Tensor, running: Tensor, rows: Rows, total: Tensor) -> Tensor:
    """How many of the k best the p-filters leave, int64 [R], as far as these columns tell.

    Mass is reached at ceil(top_p * total), the product taken in float64: an error of at most 2^-53 of the total, so
    that ten equal tokens and top_p = 0.3 (in binary a little less) leave three.
    """
    if not rows.filtered.any():
        return rows.top_k
    needed = (rows.top_p * total.double()).ceil_().long()
    by_top_p = torch.where(rows.top_p < 1, (running < needed[:, None]).sum(1) + 1, rows.top_k)
    least = (rows.min_p * UNIT).ceil_().long()
    by_min_p = (weights >= least[:, None]).sum(1)
    return torch.minimum(torch.minimum(by_top_p, by_min_p), rows.top_k).clamp_(1, weights.shape[1])


def _lowest_ids_first(logits: Tensor, node: Tensor, values: Tensor, ids: Tensor, count: Tensor) -> None:
    """Gives the lowest ids to the last candidate's value where tokens left out have that value too; `ids` in place."""
    last = values.gather(1, count[:, None] - 1)
    following = values.gather(1, count[:, None].clamp(max=values.shape[1] - 1))
    tied = ((last == following)[:, 0] & (count < values.shape[1])).nonzero()[:, 0]
    for block in blocks(tied, logits.shape[1]) if len(tied) else ():
        _repair(ids, block, logits[node[block]], values[block], last[block])


def _repair(ids: Tensor, tied: Tensor, logits: Tensor, values: Tensor, last: Tensor) -> None:
    """Gives the columns that hold the tied value of row `tied[i]` to its tokens with the lowest ids, in place.

    torch.topk keeps any of equal values. Only rows whose n-th and (n+1)-th best are equal come here.
    """
    first = (values > last).sum(1)
    columns = (values == last).sum(1)
    equal = logits == last
    rank = equal.cumsum(1) - 1
    row, token = (equal & (rank < columns[:, None])).nonzero(as_tuple=True)
    ids[tied[row], first[row] + rank[row, token]] = token
