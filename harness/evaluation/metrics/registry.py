"""What a task metric is. Its facts can be read without `evaluate`; its value is computed through `evaluate.Metric`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import CellError, UserError, nearest

# The mean loss is computed by the evaluation itself, from the model; it is no metric of class ids.
LOSS = "loss"
ClassIds = Sequence[int] | NDArray[np.integer[Any]]
Scorer = Callable[[NDArray[np.int64], NDArray[np.int64]], float]


@dataclass(frozen=True)
class TaskMetric:
    """A registered metric of class ids.

    Attributes:
        name: as tasks and grids write it (`select: validation.accuracy`).
        description: what it is and its scale, in one line.
        source: paper or definition.
        greater_is_better: the direction of selection.
        score: predictions and references, int64 [N] each, to the value.
    """

    name: str
    description: str
    source: str
    greater_is_better: bool
    score: Scorer


METRICS: dict[str, TaskMetric] = {}


def metric(name: str, *, description: str, source: str, greater_is_better: bool) -> Callable[[Scorer], Scorer]:
    """Registers a function of (predictions, references) as the metric `name`.

    Raises:
        ValueError: the name is taken.
    """
    if name in METRICS:
        raise ValueError(f"metric {name!r} is already registered")

    def register(score: Scorer) -> Scorer:
        METRICS[name] = TaskMetric(name, description, source, greater_is_better, score)
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


def compute_metrics(names: Sequence[str], predictions: ClassIds, references: ClassIds) -> dict[str, float]:
    """Values of the named metrics, computed through `evaluate.Metric` subclasses, offline.

    Args:
        names: registered metrics.
        predictions: class ids [N].
        references: true class ids [N].

    Raises:
        UserError: an unknown name.
        CellError: no examples, other lengths, or something that is not a whole number.
    """
    metrics = [find_metric(name) for name in names]
    predicted, true = _class_ids("predictions", predictions), _class_ids("references", references)
    if len(predicted) != len(true) or not len(true):
        raise CellError(f"metrics need as many predictions as references, and some: got {len(predicted)}, {len(true)}")
    if not metrics:
        return {}
    from harness.evaluation.metrics.wrapper import compute

    return {found.name: compute(found, predicted, true) for found in metrics}


def _class_ids(what: str, values: Any) -> NDArray[np.int64]:
    ids = np.asarray(values)
    # `evaluate` would cut 0.9 to 0 without a word.
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise CellError(f"{what} must be a list of class ids, not {ids.dtype} of shape {ids.shape}")
    return ids.astype(np.int64)
