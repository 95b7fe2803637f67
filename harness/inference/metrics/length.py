"""Length of a text."""

from __future__ import annotations

from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "length", unit="text", source="-", description="new tokens, the end-of-text token not counted; 0 for an empty text"
)
def length(text: Text) -> float:
    """Number of new tokens."""
    return float(len(text.token_ids))
