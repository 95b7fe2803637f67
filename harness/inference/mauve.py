"""MAUVE: how near generated texts are to human ones, as distributions (Pillutla et al. 2021, arXiv 2102.01454).

Texts become feature vectors of a local model; all are clustered; p and q are the two histograms over the clusters.
With R_w = w p + (1 - w) q, MAUVE is the area under the curve of (exp(-c KL(q | R_w)), exp(-c KL(p | R_w))) over w.
It is computed by the authors' own package (`mauve-text`, an extra; GPL-3), at the settings of their code.

What it can be used for: comparing settings at one number of texts and one feature model. It needs some thousands of
texts a side (the paper: 5,000); with fewer it is biased upwards and noisy. The random start of its k-means is the same
for a whole study and is no die of ours: its variance is in no component.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModel

from harness.data.tokenizer import copy_tokenizer
from harness.errors import CellError
from harness.evaluation.mode import eval_mode
from harness.inference.judge import Judge, load_judge
from harness.inference.score import Tokens, equal_lengths, token_batch
from harness.randomness import key
from harness.spec.models import Checkpoint

# The settings of the authors' code: c, points of the curve, share of the variance that the PCA keeps, k-means runs and
# iterations, texts a cluster.
SCALING, POINTS, EXPLAINED, REDO, ITERATIONS, PER_BUCKET = 5, 25, 0.9, 5, 500, 10
# Fewer texts a side do not give the two clusters that there must be.
FEWEST_TEXTS = 2 * PER_BUCKET
LONGEST = 1024
# The widest activations of one forward, in numbers: 64 MiB in float32.
_NUMBERS_AT_ONCE = 2**24
_COLUMNS = ["unit", "prompt", "metric", "value"]


def unavailable() -> str | None:
    """Why MAUVE cannot be computed here, in one line; None if it can."""
    missing = [name for name in ("mauve", "faiss") if find_spec(name) is None]
    if not missing:
        return None
    return f"mauve needs packages that are not installed ({', '.join(missing)}): pip install 'twodice[mauve]'"


@dataclass(frozen=True)
class Featurizer:
    """The model that turns texts into vectors; `load` makes one.

    Attributes:
        judge: a causal language model or an encoder, without a head.
        causal: which of them.
        tokenizer: cuts a text after LONGEST tokens (as the authors' code does), or sooner where the model ends sooner.
    """

    judge: Judge
    causal: bool
    tokenizer: Tokenizer

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, device: str = "cpu") -> Featurizer:
        """Loads it from its folder (`harness.spec.models.resolve_checkpoint` finds folders and hub ids).

        Raises:
            UserError: it cannot be loaded from safetensors, or has no tokenizer.
        """
        judge = load_judge(checkpoint, AutoModel, "decoding.mauve", device=device, spare=("pooler.",))
        tokenizer = copy_tokenizer(judge.tokenizer)
        tokenizer.enable_truncation(min(LONGEST, judge.positions or LONGEST))
        return cls(judge, not judge.looks_ahead(), tokenizer)

    def features(self, strings: Sequence[str]) -> NDArray[np.float32]:
        """The last hidden state of each text's last token (causal models, as in the paper).

        For encoders, which the paper does not use, the mean of the last hidden state over all tokens, the special
        ones included. An empty text is the model's token for the beginning (or end) of a text.

        Returns: float32 [number of texts, width]. A row does not depend on the other texts.

        Raises:
            CellError: a text has no token and there is none to begin it with, or a feature is not finite.
        """
        encoded = self.tokenizer.encode_batch(list(strings))
        texts = [tuple(one.ids) or self._empty() for one in encoded]
        width = 4 * self.judge.model.config.hidden_size
        batches = equal_lengths(list(dict.fromkeys(texts)), len, lambda length: _NUMBERS_AT_ONCE // length // width)
        with eval_mode(self.judge.model):
            found = {text: row for batch in batches for text, row in zip(batch, self._forward(batch), strict=True)}
        features = np.array([found[text] for text in texts], dtype=np.float32)
        if not np.isfinite(features).all():
            raise CellError(f"MAUVE: the model {self.judge.name} gives features that are not finite")
        return features

    def _empty(self) -> Tokens:
        if self.judge.start is None:
            raise CellError(f"MAUVE: a text has no tokens, and the model {self.judge.name} has none to begin it with")
        return (self.judge.start,)

    def _forward(self, batch: Sequence[Tokens]) -> NDArray[np.float32]:
        hidden = self.judge.model(input_ids=token_batch(batch, self.judge.device)).last_hidden_state
        rows = hidden[:, -1] if self.causal else hidden.mean(1)
        # A copy: a view would keep every token's state alive.
        return np.array(rows[: len(batch)].cpu(), dtype=np.float32)


def mauve_frame(generated: NDArray[np.float32], human: NDArray[np.float32], *, seed: int) -> pd.DataFrame:
    """MAUVE of one setting and replicate as a tidy row.

    Args:
        generated: features [N, d] of its texts.
        human: features [M, d] of the human texts.
        seed: the study seed; equal for all cells, so that settings are compared with the same start of the k-means.

    Returns: one row of unit (`set`), prompt (""), metric (`mauve`), value.
    """
    value = mauve_score(generated, human, seed=key(seed, "decode", 0, "mauve"))
    return pd.DataFrame([("set", "", "mauve", value)], columns=_COLUMNS)


def mauve_score(generated: NDArray[np.float32], human: NDArray[np.float32], *, seed: int) -> float:
    """MAUVE of two sets of feature vectors [N, d] and [M, d], over min(N, M) / PER_BUCKET clusters.

    Args:
        seed: of k-means; of its bits, 30 are used.

    Returns: 0 (far apart) to 1 (alike); NaN for fewer than FEWEST_TEXTS vectors a side.

    Raises:
        CellError: the packages are not installed.
    """
    if reason := unavailable():
        raise CellError(reason)
    if min(len(generated), len(human)) < FEWEST_TEXTS:
        return float("nan")
    from mauve import compute_mauve  # takes seconds; loads models only where it is given texts, which it never is

    with _one_quiet_thread():
        result = compute_mauve(
            p_features=generated,
            q_features=human,
            num_buckets=round(min(len(generated), len(human)) / PER_BUCKET),
            kmeans_explained_var=EXPLAINED,
            kmeans_num_redo=REDO,
            kmeans_max_iter=ITERATIONS,
            divergence_curve_discretization_size=POINTS,
            mauve_scaling_factor=SCALING,
            verbose=False,
            seed=seed % 2**30,
        )
    # Of two equal histograms every point of the curve is (1, 1), which the package may sort after the curve's end.
    return 1.0 if np.array_equal(result.p_hist, result.q_hist) else float(result.mauve)


@contextmanager
def _one_quiet_thread() -> Iterator[None]:
    """One thread for every library, as sums over threads round by chance; and none of faiss' warnings.

    faiss wants 39 vectors a cluster and prints a line each time; the settings of MAUVE always give it about 20.
    """
    from threadpoolctl import threadpool_limits

    faiss: Any = import_module("faiss")
    original = faiss.Kmeans
    try:
        faiss.Kmeans = partial(original, min_points_per_centroid=1)
        with threadpool_limits(1):
            yield
    finally:
        faiss.Kmeans = original
