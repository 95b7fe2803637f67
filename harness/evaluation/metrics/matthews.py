"""Matthews correlation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics.registry import metric


@metric(
    "matthews",
    description="Matthews correlation, -1 to 1; 0 is chance, and by convention also constant predictions",
    source="Matthews 1975, doi 10.1016/0005-2795(75)90109-9; scikit-learn matthews_corrcoef",
    greater_is_better=True,
)
def matthews(predictions: NDArray[np.int64], references: NDArray[np.int64]) -> float:
    """Correlation of predicted and true classes (any number of classes); 0 where one side is constant, as in GLUE."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(references, predictions))
