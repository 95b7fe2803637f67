"""Calibration, Brier score and ordinal correlations against hand-made numbers and other libraries' own code."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from harness.errors import CellError, UserError
from harness.evaluation.metrics import METRICS, compute_metrics, greater_is_better, metrics_reading

Floats = NDArray[np.float64]


def random_case(seed: int, classes: int, count: int = 300) -> tuple[Floats, NDArray[np.int64]]:
    dice = np.random.default_rng(seed)
    logits = 2 * dice.normal(size=(count, classes))
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True), dice.integers(0, classes, count)


def scored(name: str, probabilities: Floats, references: NDArray[np.int64]) -> float:
    return compute_metrics([name], probabilities.argmax(axis=1), references, probabilities)[name]


def test_ece_by_hand() -> None:
    # Bins of 1/15: .65 and .66 share (9/15, 10/15], .9 stands alone in (13/15, 14/15].
    probabilities = np.array([[0.65, 0.35], [0.34, 0.66], [0.9, 0.1], [0.9, 0.1]])
    references = np.array([0, 0, 0, 0])
    one, two = abs(0.5 - 0.655), abs(1.0 - 0.9)
    assert scored("ece", probabilities, references) == pytest.approx(0.5 * one + 0.5 * two)


def test_an_edge_belongs_to_the_bin_below() -> None:
    # 10/15 is the last point of bin 10, where .65 is; in a bin of its own it would add |1 - 10/15| / 2.
    edge = 10 / 15
    probabilities = np.array([[edge, 1 - edge], [0.35, 0.65]])
    value = scored("ece", probabilities, np.array([0, 0]))
    assert value == pytest.approx(abs((1 - edge) + (0 - 0.65)) / 2)
    assert value != pytest.approx((abs(1 - edge) + 0.65) / 2)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_ece_equals_sklearns_calibration_curve(classes: int) -> None:
    for seed in range(5):
        probabilities, references = random_case(seed, classes)
        confidence = probabilities.max(axis=1)
        correct = probabilities.argmax(axis=1) == references
        accuracy, mean = calibration_curve(correct, confidence, n_bins=15, strategy="uniform")
        counts = np.histogram(confidence, bins=15, range=(0, 1))[0]
        expected = float((counts[counts > 0] * np.abs(accuracy - mean)).sum() / len(references))
        assert scored("ece", probabilities, references) == pytest.approx(expected)


def test_ece_of_certain_predictions_is_their_error_rate() -> None:
    probabilities = np.eye(2)[[0, 1, 1, 0]]
    assert scored("ece", probabilities, np.array([0, 1, 1, 1])) == pytest.approx(0.25)
    assert scored("ece", probabilities, np.array([0, 1, 1, 0])) == 0


def test_brier_by_hand_and_range() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]])
    assert scored("brier", probabilities, np.array([0, 2])) == pytest.approx((0.09 + 0.04 + 0.01) / 2)
    assert scored("brier", probabilities[1:], np.array([0])) == pytest.approx(2.0)


def test_brier_of_two_classes_is_twice_sklearns() -> None:
    for seed in range(5):
        probabilities, references = random_case(seed, 2)
        expected = 2 * brier_score_loss(references, probabilities[:, 1])
        assert scored("brier", probabilities, references) == pytest.approx(expected)


def test_brier_of_several_classes_is_sklearns() -> None:
    probabilities, references = random_case(3, 4)
    expected = brier_score_loss(references, probabilities, labels=[0, 1, 2, 3], scale_by_half=False)
    assert scored("brier", probabilities, references) == pytest.approx(expected)


@pytest.mark.parametrize(
    "probabilities",
    [
        None,
        [0.5, 0.5],
        [[0.5, 0.5]],
        [[0.5, 0.6], [0.5, 0.5]],
        [[1.5, -0.5], [0.5, 0.5]],
        [[math.nan, 0.5], [0.5, 0.5]],
        [[1.0], [1.0]],
    ],
)
def test_what_is_no_probability_of_the_classes_is_refused(probabilities: list[list[float]] | None) -> None:
    with pytest.raises(CellError, match="probabilities"):
        compute_metrics(["brier"], [0, 1], [0, 1], probabilities)  # type: ignore[arg-type]


def test_pearson_and_spearman_by_hand() -> None:
    predictions, references = [0, 1, 2, 4], [0, 2, 1, 2]
    values = compute_metrics(["pearson", "spearman"], predictions, references)
    assert values["pearson"] == pytest.approx(np.corrcoef(predictions, references)[0, 1])
    # Ranks 1 2 3 4 and 1 3.5 2 3.5: sum of products of deviations 3, of squares 5 and 4.5.
    assert values["spearman"] == pytest.approx(3 / math.sqrt(5 * 4.5))


def test_a_constant_side_has_no_correlation_by_convention() -> None:
    for name in ("pearson", "spearman"):
        assert compute_metrics([name], [1, 1, 1], [0, 1, 2])[name] == 0
        assert compute_metrics([name], [0, 1, 2], [1, 1, 1])[name] == 0
        assert compute_metrics([name], [0, 1, 2], [0, 1, 2])[name] == pytest.approx(1)


def test_every_metric_declares_what_it_reads_and_its_direction() -> None:
    assert metrics_reading("probabilities") == ["brier", "ece"]
    assert metrics_reading("text") == ["bits-per-character", "perplexity"]
    assert all(not greater_is_better(name) for reads in ("probabilities", "text") for name in metrics_reading(reads))
    assert all(greater_is_better(name) for name in ("pearson", "spearman"))
    assert all(found.reads in ("classes", "probabilities", "text") for found in METRICS.values())


def test_a_metric_of_text_is_refused_for_classes() -> None:
    with pytest.raises(UserError, match="'perplexity' is for language and conditional tasks"):
        compute_metrics(["perplexity"], [0], [0])
