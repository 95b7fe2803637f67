"""How likely the model that fine-tuning began with finds a text: what fine-tuning moved away from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.inference.metrics.perplexity import JELINEK, mean_nll
from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "base-perplexity",
    unit="text",
    source=JELINEK,
    description="perplexity of one text under the un-tuned base model (end of text included), per token",
)
def base_perplexity(text: Text) -> float:
    """The exponential of the mean of -base_logprob, at least 1; NaN where there is no base model or no token."""
    return math.exp(mean_nll([text.base_logprobs]))


@text_metric(
    "base-perplexity-set",
    unit="set",
    source=JELINEK,
    description="perplexity per token of all prompts' texts under the un-tuned base model",
)
def base_perplexity_of_set(texts: Sequence[Text]) -> float:
    """The exponential of the mean of -base_logprob over all tokens of all texts; NaN if one text is not scored."""
    return math.exp(mean_nll(text.base_logprobs for text in texts))
