"""The `evaluate.Metric` subclass that every registered metric is computed through."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from harness.errors import CellError
from harness.evaluation.metrics.registry import Reads, TaskMetric


class RegisteredMetric(evaluate.Metric):  # type: ignore[misc]
    """A registered metric as `evaluate` knows them; no script is loaded and no network is used."""

    def __init__(self, registered: TaskMetric, **kwargs: Any) -> None:
        self._registered = registered
        super().__init__(**kwargs)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self._registered.description,
            citation=self._registered.source,
            inputs_description=f"predictions: {self._registered.reads} (class ids int64, or a row of probabilities "
            "float64 an example); references: class ids int64",
            features=_features(self._registered.reads),
        )

    def _compute(self, predictions: list[Any], references: list[int]) -> dict[str, float]:
        return {self._registered.name: self._registered.score(np.asarray(predictions), np.asarray(references))}


def _features(reads: Reads) -> datasets.Features:
    predictions = datasets.Value("int64") if reads == "classes" else datasets.Sequence(datasets.Value("float64"))
    return datasets.Features({"predictions": predictions, "references": datasets.Value("int64")})


def compute(
    registered: TaskMetric, predictions: NDArray[np.int64] | NDArray[np.float64], references: NDArray[np.int64]
) -> float:
    """The value of one metric. Kept in memory; the folder that `evaluate` insists on making goes away again.

    Args:
        registered: a metric of class ids or of probabilities.
        predictions: class ids [N], or probabilities [N, classes].
        references: class ids [N].

    Raises:
        CellError: the metric refuses these class ids.
    """
    with TemporaryDirectory(prefix="twodice-metric-") as folder:
        metric = RegisteredMetric(registered, keep_in_memory=True, cache_dir=folder, seed=0)
        try:
            values = metric.compute(predictions=predictions, references=references)
        except ValueError as error:
            raise CellError(f"metric {registered.name}: {error}") from error
    return float(values[registered.name])
