"""How likely a third model finds a text: the one perplexity that can be compared between checkpoints.

It is per token of the evaluator's own tokenizer, so it may not be compared between evaluators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.inference.metrics.perplexity import JELINEK, mean_nll
from harness.inference.metrics.registry import Text, text_metric


@text_metric(
    "evaluator-perplexity",
    unit="text",
    source=JELINEK,
    description="perplexity of one text under the evaluator model, per evaluator token",
)
def evaluator_perplexity(text: Text) -> float:
    """The exponential of the mean of -evaluator_logprob, at least 1; NaN where there is no evaluator or no token."""
    return math.exp(mean_nll([text.evaluator_logprobs]))


@text_metric(
    "evaluator-perplexity-set",
    unit="set",
    source=JELINEK,
    description="perplexity of all prompts' texts under the evaluator model, per evaluator token",
)
def evaluator_perplexity_of_set(texts: Sequence[Text]) -> float:
    """The exponential of the mean of -evaluator_logprob over all tokens of all texts; NaN if one text is not scored."""
    return math.exp(mean_nll(text.evaluator_logprobs for text in texts))
