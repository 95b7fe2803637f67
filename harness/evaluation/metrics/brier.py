"""Brier score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics.registry import metric


@metric(
    "brier",
    description="squared error of all class probabilities, summed over the classes, mean over examples, 0 to 2",
    source="Brier 1950, Monthly Weather Review 78(1), original (multi-class) form",
    greater_is_better=False,
    reads="probabilities",
)
def brier(probabilities: NDArray[np.float64], references: NDArray[np.int64]) -> float:
    """Mean over examples of sum_c (p_c - [c is true])^2: 0 is perfect, 2 is surely wrong.

    For two classes it is twice the form that squares the probability of class 1 only.
    """
    errors = probabilities.copy()
    errors[np.arange(len(references)), references] -= 1.0
    return float(np.square(errors).sum(axis=1).mean())
