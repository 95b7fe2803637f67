"""What a task metric is. Its facts can be read without `evaluate`.

A metric declares what it reads. Of class ids and class probabilities it is computed through `evaluate.Metric`; of the
loss of a text, which has no predictions and references, it is a plain function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import CellError, UserError, nearest

# The mean loss is computed by the evaluation itself, from the model; it is no metric of class ids.
LOSS = "loss"
Reads = Literal["classes", "probabilities", "text"]
ClassIds = Sequence[int] | NDArray[np.integer[Any]]
Probabilities = NDArray[np.float64]
# Its arguments depend on what the metric reads, see TaskMetric.
Scorer = Callable[..., float]


@dataclass(frozen=True)
class TextLoss:
    """What a language or conditional model lost on a split.

    Attributes:
        loss: mean cross-entropy per target, nats.
        targets: number of predicted tokens, end-of-text included.
        characters: of the text that these tokens decode to; special tokens have none.
    """

    loss: float
    targets: int
    characters: int


@dataclass(frozen=True)
class TaskMetric:
    """A registered metric of one split.

    Attributes:
        name: as tasks and grids write it (`select: validation.accuracy`).
        description: what it is and its scale, in one line.
        source: paper or definition.
        greater_is_better: the direction of selection.
        reads: `classes`: a task names it; `probabilities`: every classification task has it; `text`: every language and
            conditional task has it.
        score: to the value, from predictions and references (`classes`: int64 [N] each), probabilities and references
            (`probabilities`: float64 [N, classes] and int64 [N]), or a TextLoss (`text`).
    """

    name: str
    description: str
    source: str
    greater_is_better: bool
    reads: Reads
    score: Scorer


METRICS: dict[str, TaskMetric] = {}


def metric(
    name: str, *, description: str, source: str, greater_is_better: bool, reads: Reads = "classes"
) -> Callable[[Scorer], Scorer]:
    """Registers a function of what the metric reads as the metric `name`.

    Raises:
        ValueError: the name is taken.
    """
    if name in METRICS:
        raise ValueError(f"metric {name!r} is already registered")

    def register(score: Scorer) -> Scorer:
        METRICS[name] = TaskMetric(name, description, source, greater_is_better, reads, score)
        return score

    return register


def find_metric(name: str) -> TaskMetric:
    """The metric called `name`.

    Raises:
        UserError: there is none.
    """
    if name not in METRICS:
        raise UserError(f"unknown metric '{name}'{nearest(name, [LOSS, *sorted(METRICS)])}")
    return METRICS[name]


def greater_is_better(name: str) -> bool:
    """The direction of selection by a metric; `loss`, which every cell has, is better small.

    Raises:
        UserError: there is no such metric.
    """
    return name != LOSS and find_metric(name).greater_is_better


def metrics_reading(reads: Reads) -> list[str]:
    """Names of the metrics that read this, sorted."""
    return sorted(name for name, found in METRICS.items() if found.reads == reads)


def compute_metrics(
    names: Sequence[str], predictions: ClassIds, references: ClassIds, probabilities: Probabilities | None = None
) -> dict[str, float]:
    """Values of the named metrics of a classification task, through `evaluate.Metric` subclasses, offline.

    Args:
        names: registered metrics.
        predictions: class ids [N].
        references: true class ids [N].
        probabilities: of the classes [N, classes], float64; needed where a named metric reads them.

    Raises:
        UserError: an unknown name, or a metric of text.
        CellError: no examples, other lengths, something that is not a whole number, or no probabilities (rows of
            numbers from 0 to 1 that sum to 1).
    """
    metrics = [find_metric(name) for name in dict.fromkeys(names)]
    predicted, true = _class_ids("predictions", predictions), _class_ids("references", references)
    if len(predicted) != len(true) or not len(true):
        raise CellError(f"metrics need as many predictions as references, and some: got {len(predicted)}, {len(true)}")
    if not metrics:
        return {}
    from harness.evaluation.metrics.wrapper import compute

    values = {}
    for found in metrics:
        if found.reads == "text":
            raise UserError(f"metric '{found.name}' is for language and conditional tasks, not for class ids")
        scored = _probabilities(probabilities, true) if found.reads == "probabilities" else predicted
        values[found.name] = compute(found, scored, true)
    return values


def text_metrics(loss: TextLoss) -> dict[str, float]:
    """Values of all metrics of a language or conditional task.

    Raises:
        CellError: there is nothing predicted.
    """
    if loss.targets < 1:
        raise CellError("metrics of a text need at least one predicted token")
    return {name: float(METRICS[name].score(loss)) for name in metrics_reading("text")}


def _probabilities(values: Any, references: NDArray[np.int64]) -> Probabilities:
    found = np.asarray(values, dtype=np.float64)
    fits = found.ndim == 2 and len(found) == len(references)
    if not fits or references.min() < 0 or references.max() >= found.shape[1]:
        raise CellError(f"probabilities must be [examples, classes], are of shape {found.shape}")
    # Not `not (... < 0)`: a NaN must be refused, too.
    if not ((found >= 0).all() and np.allclose(found.sum(axis=1), 1.0, rtol=0.0, atol=1e-6)):
        raise CellError("probabilities must be from 0 to 1 and sum to 1 in each row")
    return found


def _class_ids(what: str, values: Any) -> NDArray[np.int64]:
    ids = np.asarray(values)
    # `evaluate` would cut 0.9 to 0 without a word.
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise CellError(f"{what} must be a list of class ids, not {ids.dtype} of shape {ids.shape}")
    return ids.astype(np.int64)
