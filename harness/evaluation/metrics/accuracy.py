"""Accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics.registry import metric


@metric(
    "accuracy",
    description="share of examples whose class is predicted, 0 to 1",
    source="scikit-learn accuracy_score",
    greater_is_better=True,
)
def accuracy(predictions: NDArray[np.int64], references: NDArray[np.int64]) -> float:
    """Correct predictions / examples."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(references, predictions))
