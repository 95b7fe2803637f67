"""How likely the generating model finds its own text, under its full distribution at temperature 1.

A low value is no praise: text drawn greedily has the lowest (Holtzman et al. 2020, arXiv 1904.09751).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from harness.inference.metrics.registry import Text, text_metric

JELINEK = "Jelinek, Mercer, Bahl, Baker 1977"


def mean_nll(scores: Iterable[Sequence[float] | None]) -> float:
    """Mean of -logprob over all tokens of all texts, in nats: every token counts the same, so long texts count more.

    Args:
        scores: the log-probabilities of each text, in nats; None where nobody scored it.

    Returns: at least 0; NaN if one text is not scored or none has a token.
    """
    logprobs: list[float] = []
    for scored in scores:
        if scored is None:
            return float("nan")
        logprobs += scored
    return -math.fsum(logprobs) / len(logprobs) if logprobs else float("nan")


@text_metric(
    "nll",
    unit="text",
    source=JELINEK,
    description="mean negative log-likelihood per drawn token (end of text included) under the generating model, nats",
)
def nll(text: Text) -> float:
    """Mean of -logprob in nats; NaN if the text has no log-probabilities."""
    return mean_nll([text.logprobs])


@text_metric("perplexity", unit="text", source=JELINEK, description="exp(nll) of one text under the generating model")
def perplexity(text: Text) -> float:
    """The exponential of `nll`, at least 1; NaN if the text has no log-probabilities."""
    return math.exp(nll(text))


@text_metric(
    "perplexity-set", unit="set", source=JELINEK, description="exp of the nll per token over all prompts' texts"
)
def perplexity_of_set(texts: Sequence[Text]) -> float:
    """The exponential of `mean_nll` of all texts; NaN if one has no log-probabilities."""
    return math.exp(mean_nll(text.logprobs for text in texts))
