"""Which way a metric is better. Most metrics of texts have no direction: a text can be too diverse, or too probable."""

from __future__ import annotations

from harness.evaluation.described import MEMORISED
from harness.evaluation.metrics import METRICS
from harness.inference.described import MAUVE
from harness.store.curves import STEPS_TO_LOSS

HIGHER, LOWER, NONE = "higher", "lower", "none"

# Of a split, beside what the registered metrics say of themselves.
OF_SPLITS = {
    "loss": LOWER,
    "random-loss": LOWER,
    "best-random-loss": LOWER,
    "mc-loss": LOWER,
    "mc-accuracy": HIGHER,
    "mc-brier": LOWER,
    "mc-ece": LOWER,
    MEMORISED: LOWER,
}
# Of texts: nearness to references or to the truth, and degeneration (Welleck et al. 2020, arXiv 1908.04319).
OF_TEXTS = {
    "bleu": HIGHER,
    "chrf": HIGHER,
    "rouge-l": HIGHER,
    "rouge-l-set": HIGHER,
    MAUVE: HIGHER,
    "grammatical": HIGHER,
    "kl-to-truth": LOWER,
    "seq-rep-4": LOWER,
    "repetition-loop": LOWER,
}


def direction(metric: str, *, of_texts: bool = False) -> str:
    """`higher` or `lower` is better, or `none`: the metric only says what is different.

    Args:
        metric: its name.
        of_texts: whether it is one of generated texts; `perplexity` of a split and of a text are not the same thing.
    """
    if of_texts:
        return OF_TEXTS.get(metric, NONE)
    if metric.startswith(STEPS_TO_LOSS):
        return LOWER
    if metric in METRICS:
        return HIGHER if METRICS[metric].greater_is_better else LOWER
    return OF_SPLITS.get(metric, NONE)
