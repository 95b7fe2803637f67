"""An independent numpy implementation of the keyed draw, a tiny model, and one torch thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

Reference = Callable[..., tuple[int, float, float]]


def _splitmix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _gumbel(row_key: int, index: int, tokens: np.ndarray) -> np.ndarray:
    gamma = np.uint64(0x9E3779B97F4A7C15)
    row = np.array([row_key & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    step = _splitmix(row + np.array([index + 1], dtype=np.uint64) * gamma)
    hashed = _splitmix(step + (tokens.astype(np.uint64) + np.uint64(1)) * gamma)
    uniform = ((hashed >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52
    return -np.log(-np.log(uniform))


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())


def _kept(law: np.ndarray, top_p: float, min_p: float) -> int:
    """How many of the best tokens top-p, then min-p leave; `law` is over the k best, falling."""
    number = len(law)
    if top_p < 1.0:
        number = min(number, int(np.searchsorted(np.cumsum(law), top_p)) + 1)
    return max(1, int((law[:number] >= min_p * law[0]).sum()))


def reference_draw(
    logits: Any, k: int, temperature: float, row_key: int, index: int, top_p: float = 1.0, min_p: float = 0.0
) -> tuple[int, float, float]:
    """(token, log p under the full softmax, log p under the candidates at the temperature) of one row of logits."""
    logits = np.asarray(logits, dtype=np.float64)
    best = np.lexsort((np.arange(len(logits)), -logits))[:k]
    best = best[: _kept(np.exp(_log_softmax(logits[best] / temperature)), top_p, min_p)]
    winner = int(np.argmax(logits[best] / temperature + _gumbel(row_key, index, best)))
    token = int(best[winner])
    return token, float(_log_softmax(logits)[token]), float(_log_softmax(logits[best] / temperature)[winner])


@pytest.fixture
def reference() -> Reference:
    return reference_draw


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One torch thread is what makes a row's bits independent of its neighbours on a CPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_gpt2() -> Callable[..., Any]:
    """Makes a random GPT-2 of 2 layers; `spread` scales its weights, so that its softmax is not flat."""

    def make(vocabulary: int = 97, positions: int = 48, spread: float = 0.2) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = GPT2Config(
                n_layer=2,
                n_embd=64,
                n_head=4,
                vocab_size=vocabulary,
                n_positions=positions,
                initializer_range=spread,
                bos_token_id=0,
                eos_token_id=0,
            )
            return GPT2LMHeadModel(config).eval()

    return make
