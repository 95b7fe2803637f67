"""The loss of a micro-batch as a sum, so that the effective batch can be normalised as a whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from harness.training.inputs import IGNORED, MicroBatch


def forward(model: Any, batch: MicroBatch, weights: dict[str, Tensor] | None = None) -> Tensor:
    """Logits in float32: [examples, classes] or [examples, tokens, vocabulary].

    `weights`, by parameter name, stand in for the model's own in this forward.
    """
    extra = {"use_cache": False} if model.config.model_type == "gpt2" else {}
    inputs = {**batch.inputs, **extra}
    output = model(**inputs) if weights is None else functional_call(model, weights, (), inputs)
    logits: Tensor = output.logits
    return logits.float()


def loss_sum(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum of the cross-entropies (nats) over all targets; divide by their number in the effective batch."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")


def losses(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Per example: mean cross-entropy over its targets, and how many targets it has; both float64 [examples]."""
    each = functional.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="none")
    each = each.view(targets.shape[0], -1).to(torch.float64)
    counts = (targets.view(targets.shape[0], -1) != IGNORED).sum(dim=1).to(torch.float64)
    return each.sum(dim=1) / counts, counts
