"""Repetition loops: texts that end in the same phrase again and again."""

from __future__ import annotations

from harness.inference.metrics.registry import Text, text_metric

SHORTEST = 2
TIMES = 3


@text_metric(
    "repetition-loop",
    unit="text",
    source="Holtzman, Buys, Du, Forbes, Choi 2020, arXiv 1904.09751 (caption of Figure 9; their code differs)",
    description="1 if the text ends in a phrase of at least 2 tokens, at least 3 times in a row, else 0",
)
def repetition_loop(text: Text) -> float:
    """Whether the last 3 L tokens are one phrase of L tokens three times, for some L of at least 2: 1 or 0.

    So the mean over texts is the paper's "Repetition %" / 100. It says nothing of a last copy that the length limit cut
    short, and need not: where `abcabcabca` ends, `bca` has just been said three times. One token six times is a phrase
    of two three times. A text of fewer than 6 tokens is in no loop: 0. The published code (`degen/metrics`) asks for
    two times a phrase of three tokens or more, or for more than 50 times; its percentages can be higher.
    """
    ids = text.token_ids
    for length in range(SHORTEST, len(ids) // TIMES + 1):
        # The last token first: it settles nearly every length of nearly every text.
        if ids[-1] == ids[-1 - length] and _ends_in_loop(ids, length):
            return 1.0
    return 0.0


def _ends_in_loop(ids: tuple[int, ...], length: int) -> bool:
    end = ids[-length * TIMES :]
    return end[length:] == end[:-length]
