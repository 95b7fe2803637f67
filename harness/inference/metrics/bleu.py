"""BLEU against human texts for the same prompts, through sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence

from harness.inference.metrics.references import HUMAN, corpus_score
from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "bleu",
    unit="set",
    source="Papineni, Roukos, Ward, Zhu 2002, ACL P02-1040; Post 2018 (sacrebleu), ACL W18-6319",
    description="corpus BLEU-4 of all prompts' texts against their references, 0 to 100 (sacrebleu, 13a, cased)"
    f"; {HUMAN}",
)
def bleu(texts: Sequence[Text]) -> float:
    """Corpus BLEU with sacrebleu's own settings: 13a tokens, cased, exponential smoothing, closest reference length.

    A text may have any number of references. More of them make BLEU higher: a human text is compared with the OTHER
    references of its prompt, one fewer than a sampled text has. Texts without a reference are left out: the human texts
    of prompts with one reference.

    Returns: 0 to 100; NaN if no text has a reference, or the string of one that has is not known.
    """
    return corpus_score("BLEU", texts)
