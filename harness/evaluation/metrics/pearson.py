"""Pearson correlation of ordinal classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics.registry import metric


@metric(
    "pearson",
    description="correlation of class ids read as numbers (ordinal labels), -1 to 1; 0 where a side is constant",
    source="Pearson 1895; scipy.stats.pearsonr",
    greater_is_better=True,
)
def pearson(predictions: NDArray[np.int64], references: NDArray[np.int64]) -> float:
    """Correlation of predicted and true class ids.

    Undefined where one side is constant; 0 by convention then (as for `matthews`): a model that has collapsed to one
    class says nothing about the order, and must neither vanish from a mean nor stop a report.
    """
    from scipy.stats import pearsonr

    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0
    return float(pearsonr(predictions, references).statistic)
