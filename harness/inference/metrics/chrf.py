"""The chrF score against human texts for the same prompts, through sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence

from harness.inference.metrics.references import HUMAN, corpus_score
from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "chrf",
    unit="set",
    source="Popovic 2015, ACL W15-3049; Post 2018 (sacrebleu), ACL W18-6319",
    description="chrF2 of all prompts' texts against their references, character 6-grams, 0 to 100 (sacrebleu)"
    f"; {HUMAN}",
)
def chrf(texts: Sequence[Text]) -> float:
    """F-score of the mean precision and mean recall (counts double) of character 1- to 6-grams without blanks.

    A text may have any number of references; it is compared with the one that it matches best, and the counts are added
    over texts. There is no value per text: it would cost as much again, most of a minute for 100,000 texts. A human
    text is compared with the OTHER references of its prompt, one fewer than a sampled text has. Texts without a
    reference are left out: the human texts of prompts with one reference.

    Returns: 0 to 100; NaN if no text has a reference, or the string of one that has is not known.
    """
    return corpus_score("CHRF", texts)
