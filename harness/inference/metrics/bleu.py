"""BLEU against human texts for the same prompts, through sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence

from harness.inference.metrics.references import corpus_score
from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "bleu",
    unit="set",
    source="Papineni, Roukos, Ward, Zhu 2002, ACL P02-1040; Post 2018 (sacrebleu), ACL W18-6319",
    description="corpus BLEU-4 of all prompts' texts against their references, 0 to 100 (sacrebleu, 13a, cased)",
)
def bleu(texts: Sequence[Text]) -> float:
    """Corpus BLEU with sacrebleu's own settings: 13a tokens, cased, exponential smoothing, closest reference length.

    A text may have any number of references. More of them make BLEU higher: a human text, which is compared with the
    others only, has one fewer.

    Returns: 0 to 100; NaN if there is no text or one has no reference.
    """
    return corpus_score("BLEU", texts)
