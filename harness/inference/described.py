"""Text metrics that no registered function computes: what they are, readable without torch."""

from __future__ import annotations

MAUVE = "mauve"

# name -> (unit, what it is, source)
DESCRIBED: dict[str, tuple[str, str, str]] = {
    MAUVE: (
        "set",
        "decoding.mauve: nearness to the human texts in a model's features, 0 to 1, higher is nearer; needs thousands "
        "of texts, biased upwards with fewer: compare only settings of one grid (extra: twodice[mauve])",
        "Pillutla et al. 2021, arXiv 2102.01454",
    ),
}
