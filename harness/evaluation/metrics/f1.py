"""F1 of a binary task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics.registry import metric


@metric(
    "f1",
    description="harmonic mean of precision and recall of class 1 of a binary task, 0 to 1",
    source="van Rijsbergen 1979; scikit-learn f1_score",
    greater_is_better=True,
)
def f1(predictions: NDArray[np.int64], references: NDArray[np.int64]) -> float:
    """2 TP / (2 TP + FP + FN) of class 1; NaN if nothing is, and nothing is predicted to be, of class 1.

    Raises:
        ValueError: a class id other than 0 and 1.
    """
    from sklearn.metrics import f1_score

    if not np.isin([*predictions, *references], (0, 1)).all():
        raise ValueError("f1 is for binary tasks, class ids 0 and 1")
    return float(f1_score(references, predictions, zero_division=np.nan))
