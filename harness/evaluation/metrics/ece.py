"""Expected calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.metrics.registry import metric

BINS = 15


@metric(
    "ece",
    description="expected calibration error of the top probability, 15 bins of equal width, 0 to 1; 0 is calibrated",
    source="Naeini, Cooper, Hauskrecht 2015; Guo et al. 2017, arXiv 1706.04599",
    greater_is_better=False,
    reads="probabilities",
)
def ece(probabilities: NDArray[np.float64], references: NDArray[np.int64]) -> float:
    """Sum over bins of (examples in the bin / N) * |accuracy - mean confidence| of the bin.

    The confidence is the largest probability, the prediction its class (the first of equals). Bin m of 15 holds
    confidences in ((m - 1) / 15, m / 15], as in Guo et al. 2017. The estimate is biased upwards where bins hold few
    examples, so compare it between splits of like size only.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == references
    edges = np.arange(1, BINS) / BINS
    # `right` puts a confidence that is a border into the lower bin.
    places = np.digitize(confidence, edges, right=True)
    # N_m / N * |acc_m - conf_m| is |sum of (correct - confidence) in the bin| / N.
    return float(np.abs(np.bincount(places, correct - confidence, BINS)).sum() / len(references))
