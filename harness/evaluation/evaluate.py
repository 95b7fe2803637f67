"""Evaluating a model on one split, in eval mode, with per-example predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from harness.errors import CellError
from harness.evaluation.characters import count_characters
from harness.evaluation.metrics.registry import TextLoss, compute_metrics, metrics_reading, text_metrics
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
    """The loss and every metric over a whole split.

    Classification: the task's metrics and those of class probabilities (`ece`, `brier`). Language and conditional
    tasks: `perplexity` and `bits-per-character`.

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
    rows = evaluated_rows(split, limit, drawn)
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
        values.update(_class_metrics(frame, metrics))
    else:
        characters = count_characters(inputs.tokenizer, _targets(split, rows))
        values.update(text_metrics(TextLoss(loss, int(frame["targets"].sum()), characters)))
    return Evaluation(values, frame)


def probabilities(predictions: pd.DataFrame) -> NDArray[np.float64]:
    """Class probabilities [examples, classes] of the stored logits `score_0`, `score_1`, ..., in float64."""
    classes = sum(name.startswith("score_") for name in predictions.columns)
    logits = predictions[[f"score_{i}" for i in range(classes)]].to_numpy(dtype=np.float64)
    return np.asarray(softmax(logits, axis=1))


def _class_metrics(frame: pd.DataFrame, metrics: tuple[str, ...]) -> dict[str, float]:
    classes = frame["prediction"].to_numpy(), frame["label"].to_numpy()
    # A diverged model has logits but no probabilities; the caller sees it by the loss.
    if not np.isfinite(frame["loss"]).all():
        return compute_metrics(metrics, *classes)
    return compute_metrics([*metrics, *metrics_reading("probabilities")], *classes, probabilities(frame))


def _targets(split: Split, rows: Indices) -> list[list[int]]:
    """Token ids that were predicted: a stream's windows as one text, a list a row of a conditional task."""
    if isinstance(split, Stream):
        return [np.concatenate([split.window(int(row), 0)[1:] for row in np.sort(rows)]).tolist()]
    return [split.row(int(row))[split.loss_from[row] :].tolist() for row in rows]


def evaluated_rows(split: Split, limit: int = 0, drawn: Indices | None = None) -> Indices:
    """Positions of the examples or blocks that an evaluation reads, see `evaluate`.

    Raises:
        CellError: a stream is shorter than one block.
    """
    count = split.blocks(0) if isinstance(split, Stream) else len(split)
    if count == 0:
        raise CellError("a split is shorter than one block: lower training.max_length")
    return evenly_spaced(np.arange(count) if drawn is None else drawn, limit)


def evenly_spaced(rows: Indices, limit: int) -> Indices:
    """At most `limit` of the rows, evenly spaced from the first one on; 0: all."""
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
