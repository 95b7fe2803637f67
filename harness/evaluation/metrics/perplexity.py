"""Perplexity of a text under the model that was evaluated."""

from __future__ import annotations

import math

from harness.evaluation.metrics.registry import TextLoss, metric


@metric(
    "perplexity",
    description="exp(loss) of a language model, per token, so not comparable between tokenizers",
    source="Jelinek, Mercer, Bahl, Baker 1977",
    greater_is_better=False,
    reads="text",
)
def perplexity(loss: TextLoss) -> float:
    """exp(loss), of a loss of 700 nats at most: beyond it a float overflows."""
    return math.exp(min(loss.loss, 700.0))
