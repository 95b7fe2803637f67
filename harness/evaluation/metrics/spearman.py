"""Spearman correlation of ordinal classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics.registry import metric


@metric(
    "spearman",
    description="rank correlation of class ids read as ordinal labels, -1 to 1; 0 where a side is constant",
    source="Spearman 1904; scipy.stats.spearmanr (ties share their mean rank)",
    greater_is_better=True,
)
def spearman(predictions: NDArray[np.int64], references: NDArray[np.int64]) -> float:
    """Pearson correlation of the ranks; 0 by convention where one side is constant, see `pearson`."""
    from scipy.stats import spearmanr

    if np.ptp(predictions) == 0 or np.ptp(references) == 0:
        return 0.0
    return float(spearmanr(predictions, references).statistic)
