"""What the sampler's tests share: logits, one call for many rows, theory in numpy, and the chi-square of draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats

from harness.inference import noise
from harness.inference.sampler import Draw, sample


def random_logits(rows: int, vocabulary: int, seed: int = 0, scale: float = 2.0) -> torch.Tensor:
    """Normal logits [rows, vocabulary]."""
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale


def draw(
    logits: torch.Tensor,
    k: Any,
    temperature: Any = 1.0,
    top_p: Any = 1.0,
    min_p: Any = 0.0,
    *,
    index: int = 0,
    keys: torch.Tensor | None = None,
    node: torch.Tensor | None = None,
) -> Draw:
    """`sample` with settings that are one number for all rows or one for each."""
    rows = len(logits) if node is None else len(node)
    top_k = torch.as_tensor(k).expand(rows).clone()
    heat, p, m = (torch.as_tensor(x, dtype=torch.float64).expand(rows).clone() for x in (temperature, top_p, min_p))
    keys = level_keys(rows) if keys is None else keys
    return sample(logits, top_k, heat, keys, index, top_p=p, min_p=m, node=node)


def level_keys(rows: int, seed: int = 1) -> torch.Tensor:
    """Keys of the levels 0 .. rows - 1 of one prompt."""
    return noise.row_keys(seed, [("prompt", level) for level in range(rows)])


def theory(
    logits: torch.Tensor, k: int, temperature: float = 1.0, top_p: float = 1.0, min_p: float = 0.0
) -> np.ndarray:
    """Probability of each token, float64 [V], after temperature, top-k, top-p and min-p; for logits without ties."""
    scores = logits.double().numpy() / temperature
    order = np.argsort(-scores)[:k]
    weights = np.exp(scores[order] - scores[order[0]])
    reached = np.cumsum(weights) / weights.sum() >= top_p
    # The whole sum may round to less than 1.
    number = int(np.argmax(reached)) + 1 if top_p < 1 and reached.any() else len(order)
    order, weights = order[:number], weights[:number]
    weights = np.where(weights >= min_p, weights, 0.0)
    law = np.zeros(len(scores))
    law[order] = weights / weights.sum()
    return law


def fits(tokens: torch.Tensor, law: np.ndarray) -> float:
    """p-value of chi-square of drawn tokens against a law, cells of expectation under 5 merged; 0 if one is impossible.

    1 where the law leaves one cell: then every draw has been right.
    """
    expected = len(tokens) * law
    counts = np.bincount(tokens.numpy(), minlength=len(law))
    if counts[law == 0].any():
        return 0.0
    rare = expected < 5
    seen = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    kept = wanted > 0
    return float(stats.chisquare(seen[kept], wanted[kept]).pvalue) if kept.sum() > 1 else 1.0
