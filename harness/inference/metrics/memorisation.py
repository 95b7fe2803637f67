"""Memorisation: what a text copies word for word from the training texts."""

from __future__ import annotations

from harness.inference.metrics.registry import Text, text_metric

_SOURCE = "after McCoy, Smolensky, Linzen, Gao, Celikyilmaz 2023, TACL 11 (arXiv 2111.09509)"


@text_metric(
    "copied-span",
    unit="text",
    source=_SOURCE,
    description="tokens of the longest span that stands in the training texts, too",
)
def copied_span(text: Text) -> float:
    """Number of tokens, in [0, length]; NaN where nobody looked."""
    return float("nan") if text.copied is None else float(text.copied)


@text_metric(
    "copied-share", unit="text", source=_SOURCE, description="copied-span / length: 1 if the whole text is a copy"
)
def copied_share(text: Text) -> float:
    """Share of the text's tokens, in [0, 1]; NaN where nobody looked or the text is empty."""
    if text.copied is None or not text.token_ids:
        return float("nan")
    return text.copied / len(text.token_ids)
