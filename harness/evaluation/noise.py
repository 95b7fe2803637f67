"""Memorised label noise: how many of the wrong labels that a task put into train on purpose the model has learnt."""

from __future__ import annotations

import math

import pandas as pd

from harness.errors import CellError
from harness.evaluation.described import MEMORISED

CLEAN = "clean_label"  # the column of a task's frame that holds the true class where `label` may be wrong


def with_clean_labels(predictions: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the column `clean_label`, where the task's rows have one.

    Args:
        predictions: a row per evaluated example: example (position among `rows`), label, ...
        rows: the task's rows of the same split.

    Raises:
        CellError: the labels are not those of these rows, so the positions mean something else.
    """
    if CLEAN not in rows.columns:
        return predictions
    own = rows.iloc[predictions["example"].to_numpy()]
    if own["label"].tolist() != predictions["label"].tolist():
        raise CellError("predictions and the task's rows are not in the same order: labels differ")
    return predictions.assign(**{CLEAN: own[CLEAN].to_numpy()})


def memorised_noise(predictions: pd.DataFrame) -> dict[str, float]:
    """Share of the training examples with a wrong label whose WRONG label the model predicts, 0 to 1.

    Exact, because the task knows which labels it flipped. Of the evaluated examples only (`training.evaluate_train`).
    With two classes it is 1 - accuracy on the true labels of these examples; with more, another mistake is not counted.
    NaN where no evaluated example has a wrong label. Cf. Arpit et al. 2017, arXiv 1706.05394.
    """
    if CLEAN not in predictions.columns:
        return {}
    wrong = predictions[predictions["label"] != predictions[CLEAN]]
    if wrong.empty:
        return {MEMORISED: math.nan}
    return {MEMORISED: float((wrong["prediction"] == wrong["label"]).mean())}
