"""Vocabulary coverage: how much of what the model can say is said."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "vocabulary-coverage",
    unit="set",
    source="-",
    description="different tokens in all prompts' texts / size of the vocabulary; grows with the amount of text",
)
def vocabulary_coverage(texts: Sequence[Text]) -> float:
    """Different tokens of all texts / vocabulary, in [0, 1]; NaN where the vocabulary is not known.

    The vocabulary is the model's: it counts the end-of-text token and others that no text can hold.
    """
    vocabulary = vocabulary_of(texts)
    if vocabulary is None:
        return float("nan")
    return len(set(chain.from_iterable(text.token_ids for text in texts))) / vocabulary


def vocabulary_of(texts: Sequence[Text]) -> int | None:
    """The one vocabulary size of all texts; None if one is not known or there are no texts.

    Raises:
        ValueError: the texts are of models with different vocabularies.
    """
    sizes = {text.vocabulary for text in texts}
    if None in sizes or not sizes:
        return None
    if len(sizes) > 1:
        raise ValueError(f"the texts of one set are of vocabularies of {sorted(filter(None, sizes))} tokens")
    return sizes.pop()
