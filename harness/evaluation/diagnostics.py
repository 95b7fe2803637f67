"""Diagnostics of attention: does dropout spread the heads? Off by default (`training.diagnostics: true`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from harness.errors import CellError
from harness.evaluation.described import DIVERSITY, ENTROPY
from harness.evaluation.evaluate import evaluated_rows
from harness.evaluation.mode import eval_mode
from harness.training.inputs import Inputs, Split, collate

EXAMPLES = 64
ROWS = 8  # of one forward: its attention maps of all layers are held at once


def attention_diagnostics(model: Any, split: Split, inputs: Inputs, family: str) -> pd.DataFrame:
    """Attention entropy and head diversity of every head, in eval mode, on at most 64 evenly spaced examples or blocks.

    Both are means over all real query positions (special tokens are real, padding is not); a causal model's query
    looks at itself and what is before it, and is measured over just these. Always with eager attention, the only one
    that gives maps; the model's own implementation is put back.

    Returns:
        layer, head (both from 0), metric, value (nats). Metrics: `attention-entropy`, see `attention_entropy`, and,
        where a layer has several heads, `head-diversity`, see `head_divergence`.

    Raises:
        CellError: the model gives no attention maps.
    """
    device = next(model.parameters()).device
    rows = evaluated_rows(split, EXAMPLES)
    totals: dict[tuple[int, str], Tensor] = {}
    queries = 0
    with eval_mode(model), eager_attention(model):
        for start in range(0, len(rows), ROWS):
            batch = collate(split, rows[start : start + ROWS], inputs, family).to(device)
            ids = batch.inputs["input_ids"]
            real = batch.inputs.get("attention_mask", torch.ones_like(ids)).bool()
            queries += int(real.sum())
            for layer, maps in enumerate(_maps(model, batch.inputs)):
                for metric, values in _measures(maps).items():
                    total = (values * real[:, None, :]).sum(dim=(0, 2))
                    totals[layer, metric] = totals.get((layer, metric), 0.0) + total
    return _frame(totals, queries)


def attention_entropy(maps: Tensor) -> Tensor:
    """-sum_j a_j ln a_j of each query's attention, nats: 0 is one position, ln n is uniform over n.

    Args:
        maps: attention probabilities [examples, heads, queries, keys].

    Returns:
        float64 [examples, heads, queries].
    """
    entropy: Tensor = torch.special.entr(maps.double()).sum(dim=-1)
    return entropy


def head_divergence(maps: Tensor) -> Tensor:
    """How far each head is from the others: mean Jensen-Shannon divergence to every other head of its layer, nats.

    JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2, from 0 (equal) to ln 2 (disjoint): Lin 1991, doi 10.1109/18.61115,
    between heads as in Clark et al. 2019, arXiv 1906.04341. The mean over queries and over the other heads is our own
    choice; its mean over heads is the mean over all pairs.

    Args:
        maps: attention probabilities [examples, heads, queries, keys] of at least two heads.

    Returns:
        float64 [examples, heads, queries].
    """
    maps, own = maps.double(), attention_entropy(maps)
    heads = maps.shape[1]
    totals = torch.zeros_like(own)
    for head in range(heads):
        mixed = attention_entropy((maps + maps[:, head : head + 1]) / 2)
        # A head's divergence from itself is 0, so it may stay in the sum.
        totals[:, head] = (mixed - (own + own[:, head : head + 1]) / 2).sum(dim=1)
    return totals / (heads - 1)


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Eager attention inside the block, and afterwards the implementation that was there before."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _maps(model: Any, tensors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    maps: tuple[Tensor, ...] | None = model(**tensors, output_attentions=True).attentions
    if not maps or any(one is None for one in maps):
        raise CellError(f"diagnostics: {type(model).__name__} gives no attention maps")
    return maps


def _measures(maps: Tensor) -> dict[str, Tensor]:
    measures = {ENTROPY: attention_entropy(maps)}
    return measures if maps.shape[1] < 2 else {**measures, DIVERSITY: head_divergence(maps)}


def _frame(totals: dict[tuple[int, str], Tensor], queries: int) -> pd.DataFrame:
    rows = [
        (layer, head, metric, float(value) / queries)
        for (layer, metric), values in totals.items()
        for head, value in enumerate(values.cpu())
    ]
    frame = pd.DataFrame(rows, columns=["layer", "head", "metric", "value"])
    return frame.sort_values(["metric", "layer", "head"], ignore_index=True)
