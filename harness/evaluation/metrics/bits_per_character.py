"""Bits per character: a loss that does not depend on how a tokenizer cuts the text."""

from __future__ import annotations

import math

from harness.errors import CellError
from harness.evaluation.metrics.registry import TextLoss, metric


@metric(
    "bits-per-character",
    description="cross-entropy of all targets in bits, per character of the text they decode to",
    source="Shannon 1951; Graves 2013, arXiv 1308.0850",
    greater_is_better=False,
    reads="text",
)
def bits_per_character(loss: TextLoss) -> float:
    """Bits of all targets per character: loss * targets / (ln 2 * characters).

    Predicting the end of a text costs bits and has no character.

    Raises:
        CellError: the targets decode to no character at all.
    """
    if loss.characters < 1:
        raise CellError("bits-per-character: the predicted tokens decode to no character")
    return loss.loss * loss.targets / (math.log(2) * loss.characters)
