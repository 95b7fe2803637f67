"""Evaluating a model on one split, in eval mode, with per-example predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness.errors import CellError
from harness.evaluation.metrics.registry import compute_metrics
from harness.evaluation.mode import eval_mode
from harness.training.inputs import Indices, Inputs, Split, Stream, collate
from harness.training.objective import forward, losses

# Of one evaluation forward: bounds its memory (a language model's logits have a column per token id).
BATCH_TOKENS = 8192
BATCH_LOGITS = 64_000_000


@dataclass(frozen=True)
class Evaluation:
    """One split's result: final metrics by name, and a row per example."""

    metrics: dict[str, float]
    predictions: pd.DataFrame


def evaluate(
    model: Any,
    split: Split,
    inputs: Inputs,
    family: str,
    metrics: tuple[str, ...],
    limit: int = 0,
    drawn: Indices | None = None,
) -> Evaluation:
    """Loss, perplexity (language) and the task's metrics over a whole split.

    Args:
        model: a transformers model.
        split, inputs: what to read; a stream is read in fixed, adjoining windows from its start.
        family: of the model (token types).
        metrics: names of the task's metrics (classification).
        limit: at most so many examples, evenly spaced (0: all).
        drawn: positions of the examples that count (None: all); the others of the split were not trained on.

    Returns:
        metrics and a frame with example, loss (nats per target), targets, and for classification label, prediction
        and the logits `score_0`, `score_1`, ...
    """
    rows = _rows(split, limit, drawn)
    device = next(model.parameters()).device
    parts: list[pd.DataFrame] = []
    with eval_mode(model):
        for chunk in _chunks(split, rows, _budget(model, inputs)):
            batch = collate(split, chunk, inputs, family).to(device)
            parts.append(_predictions(forward(model, batch), batch.targets, chunk))
    frame = pd.concat(parts, ignore_index=True).sort_values("example", kind="stable", ignore_index=True)
    # Over targets, not over examples: a language model's loss is per token.
    loss = float(np.average(frame["loss"], weights=frame["targets"]))
    values = {"loss": loss}
    if inputs.kind == "classification":
        values.update(compute_metrics(list(metrics), frame["prediction"].to_numpy(), frame["label"].to_numpy()))
    else:
        values["perplexity"] = math.exp(min(loss, 700.0))
    return Evaluation(values, frame)


def _rows(split: Split, limit: int, drawn: Indices | None) -> Indices:
    count = split.blocks(0) if isinstance(split, Stream) else len(split)
    if count == 0:
        raise CellError("a split is shorter than one block: lower training.max_length")
    rows = np.arange(count) if drawn is None else drawn
    if not limit or len(rows) <= limit:
        return rows
    return rows[np.arange(limit) * len(rows) // limit]


def _budget(model: Any, inputs: Inputs) -> int:
    """Tokens of one forward."""
    width = 1 if inputs.kind == "classification" else int(model.config.vocab_size)
    return min(BATCH_TOKENS, max(1, BATCH_LOGITS // width))


def _chunks(split: Split, rows: Indices, tokens: int) -> Iterator[Indices]:
    """Batches of like length within the token bound, longest first so that a memory fault comes at once."""
    lengths = np.full(len(rows), split.block) if isinstance(split, Stream) else split.lengths[rows]
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        yield rows[order[start : start + size]]
        start += size


def _predictions(logits: torch.Tensor, targets: torch.Tensor, rows: Indices) -> pd.DataFrame:
    loss, counts = losses(logits, targets)
    frame = pd.DataFrame({"example": rows, "loss": loss.cpu().numpy(), "targets": counts.cpu().numpy()})
    if targets.ndim == 1:
        scores = logits.cpu().numpy()
        frame["label"], frame["prediction"] = targets.cpu().numpy(), scores.argmax(axis=1)
        frame = frame.assign(**{f"score_{i}": scores[:, i] for i in range(scores.shape[1])})
    return frame
