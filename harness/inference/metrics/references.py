"""What the metrics that compare with human texts share.

A human text is compared with the other references of its prompt, one fewer than a sampled text of that prompt has; the
human text of a prompt with one reference has none left, and is left out of its set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal

from harness.inference.metrics.registry import Text

Scorer = Literal["BLEU", "CHRF"]
HUMAN = "human texts: against the other references, one fewer; left out where there is no other"  # for descriptions
KEPT = 5_000  # references whose n-grams are kept for the next set: about 0.5 GB for chrF at a sentence each


def comparable(text: Text) -> bool:
    """Whether the text has a reference, and a string to compare unless it is the empty text."""
    return bool(text.references) and bool(text.string or not text.token_ids)


def with_references(texts: Sequence[Text]) -> list[Text]:
    """The texts of a set that can be compared: without those of prompts that have no (other) reference."""
    return [text for text in texts if text.references]


def corpus_score(scorer: Scorer, texts: Sequence[Text]) -> float:
    """Score of sacrebleu, with its own settings, for all texts that have a reference together.

    Returns: 0 to 100; NaN if none has a reference, or the string of one that has is not known.
    """
    texts = with_references(texts)
    if not texts or not all(map(comparable, texts)):
        return float("nan")
    references = tuple(text.references for text in texts)
    few = sum(map(len, references)) <= KEPT
    judge, given = (_judge(scorer, references), None) if few else (_new(scorer), streams(references))
    return float(judge.corpus_score([text.string for text in texts], given).score)


def streams(references: Sequence[tuple[str, ...]]) -> list[list[str | None]]:
    """References as sacrebleu wants them: the first of each text, the second of each, ...; None where a text has fewer.

    Args:
        references: of each text, one or more.
    """
    most = max(map(len, references))
    return [[one[place] if place < len(one) else None for one in references] for place in range(most)]


@lru_cache(maxsize=2)
def _judge(scorer: Scorer, references: tuple[tuple[str, ...], ...]) -> Any:
    """Knows the references' n-grams already: the next setting and replicate has the same prompts."""
    return _new(scorer, references=streams(references))


def _new(scorer: Scorer, **settings: Any) -> Any:
    return getattr(import_module("sacrebleu.metrics"), scorer)(**settings)
