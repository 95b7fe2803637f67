"""How likely the generating model finds its own text, under its full distribution at temperature 1.

A low value is no praise: text drawn greedily has the lowest (Holtzman et al. 2020, arXiv 1904.09751).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.inference.metrics.registry import Text, text_metric

_SOURCE = "Jelinek, Mercer, Bahl, Baker 1977"


@text_metric(
    "nll",
    unit="text",
    source=_SOURCE,
    description="mean negative log-likelihood per drawn token (end of text included) under the generating model, nats",
)
def nll(text: Text) -> float:
    """Mean of -logprob in nats; NaN if the text has no log-probabilities."""
    return nll_of_set([text])


def nll_of_set(texts: Sequence[Text]) -> float:
    """Mean of -logprob over all tokens of all texts, in nats; NaN if one is not scored or none has a token."""
    scored = [text.logprobs for text in texts if text.logprobs is not None]
    logprobs = [logprob for text in scored for logprob in text]
    if len(scored) < len(texts) or not logprobs:
        return float("nan")
    return -math.fsum(logprobs) / len(logprobs)


@text_metric("perplexity", unit="text", source=_SOURCE, description="exp(nll) of one text under the generating model")
def perplexity(text: Text) -> float:
    """The exponential of `nll`, at least 1; NaN if the text has no log-probabilities."""
    return math.exp(nll(text))


@text_metric(
    "perplexity-set", unit="set", source=_SOURCE, description="exp of the nll per token over all prompts' texts"
)
def perplexity_of_set(texts: Sequence[Text]) -> float:
    """The exponential of `nll_of_set`: every token counts the same, so long texts count more."""
    return math.exp(nll_of_set(texts))
