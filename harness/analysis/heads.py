"""The two dice as sums of components, and how they read in two units.

training: Var_train(E[y | run]), all components of training alone. inference: E_train[Var_decode(y | run)], the sum of
ALL components with decode: single ones measure how the sampler couples its noise between runs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.analysis.crossed import Layout

Floats = npt.NDArray[np.float64]
TRAINING, PROMPT, BOTH, INFERENCE, TOTAL = "training", "prompt", "training x prompt", "inference", "total"
FLOOR = "noise floor"
HEADS = (TRAINING, PROMPT, BOTH, INFERENCE, TOTAL, FLOOR)
DECODE, TRAINING_DECODE = "decode", "training x decode"
DECODE_PROMPT, TRAINING_DECODE_PROMPT = "decode x prompt", "training x decode x prompt"
NAMES = (TRAINING, PROMPT, BOTH, INFERENCE, DECODE, TRAINING_DECODE, DECODE_PROMPT, TRAINING_DECODE_PROMPT, TOTAL)


def heads(layout: Layout, weights: Floats) -> dict[str, Floats]:
    """Weights of the mean squares in every quantity of the table, the total last.

    Args:
        layout: of the table.
        weights: of every component [components, mean squares]; see `crossed.weights`.
    """
    owner = [_names(term, layout) for term in layout.terms()]
    found = {}
    for name in NAMES[:-1]:
        mine = [place for place, names in enumerate(owner) if name in names]
        if mine:
            found[name] = weights[mine].sum(axis=0)
    return {**found, TOTAL: weights.sum(axis=0)}


def _names(term: frozenset[int], layout: Layout) -> tuple[str, ...]:
    """The head that a component belongs to, and its own row where it contains decode."""
    parts = [TRAINING] if min(term) < layout.training else []
    parts += ["decode"] if layout.decode and layout.decode_axis in term else []
    parts += [PROMPT] if layout.prompt and layout.prompt_axis in term else []
    name = " x ".join(parts)
    return (INFERENCE, name) if "decode" in parts else (name,)


def per_score(rows: dict[str, Floats], prompts: int) -> dict[str, Floats]:
    """The weights per benchmark score, the mean over so many prompts of one decode replicate.

    Training stays as it is; everything else is divided by the number of prompts.
    """
    found = {name: row if name == TRAINING else row / prompts for name, row in rows.items()}
    mine = rows.get(TRAINING, np.zeros_like(rows[TOTAL]))
    return {**found, TOTAL: mine + (rows[TOTAL] - mine) / prompts}
