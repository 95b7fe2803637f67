"""Top-p and min-p: token for token as in numpy, as transformers filters, ties, edges, and on a GPU as on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from drawing import draw, level_keys, random_logits, theory
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LogitsProcessorList
from transformers.generation import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from harness.inference.candidates import Rows, candidates
from harness.inference.sums import LARGEST_VOCABULARY, UNIT, masses

Reference = Callable[..., tuple[int, float, float]]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def random_settings(rows: int, vocabulary: int, seed: int) -> list[torch.Tensor]:
    """k, temperature, top_p and min_p, [rows] each; every filter is off in some rows."""
    rng = np.random.default_rng(seed)
    k = np.minimum(np.exp(rng.uniform(0, np.log(vocabulary * 2), rows)).astype(int), vocabulary)
    top_p = np.where(rng.random(rows) < 0.3, 1.0, rng.choice([0.01, 0.3, 0.8, 0.9, 0.95, 0.999], rows))
    min_p = np.where(rng.random(rows) < 0.5, 0.0, rng.choice([0.001, 0.02, 0.1, 0.7, 1.0], rows))
    heat = rng.choice([0.3, 0.7, 1.0, 1.5], rows)
    return [torch.tensor(column) for column in (k, heat, top_p, min_p)]


def check_against(reference: Reference, logits: torch.Tensor, settings: list[torch.Tensor]) -> None:
    keys = level_keys(len(logits), seed=9)
    drawn = draw(logits, *settings, index=3, keys=keys)
    for row in range(len(logits)):
        k, heat, top_p, min_p = (column[row].item() for column in settings)
        token, logprob, sampling = reference(logits[row].float(), k, heat, int(keys[row]), 3, top_p, min_p)
        assert drawn.tokens[row] == token
        assert drawn.logprobs[row].item() == pytest.approx(logprob, abs=1e-5)
        assert drawn.sampling_logprobs[row].item() == pytest.approx(sampling, abs=1e-5)


@pytest.mark.parametrize("vocabulary", [7, 60, 1024, 1025, 9001])
@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_equals_numpy_token_for_token(reference: Reference, vocabulary: int, scale: float) -> None:
    logits = random_logits(250, vocabulary, seed=vocabulary, scale=scale)
    check_against(reference, logits, random_settings(250, vocabulary, seed=vocabulary))


@pytest.mark.parametrize("vocabulary", [60, 3000])
def test_equals_numpy_with_ties(reference: Reference, vocabulary: int) -> None:
    logits = random_logits(250, vocabulary, seed=5).bfloat16()
    check_against(reference, logits, random_settings(250, vocabulary, seed=1))
    coarse = random_logits(250, vocabulary, seed=6, scale=1.0).mul(2).round()
    check_against(reference, coarse, random_settings(250, vocabulary, seed=2))


def counts(logits: torch.Tensor, k: int, heat: float, top_p: float, min_p: float) -> list[int]:
    """How many tokens compete in each row."""
    number, vocabulary = len(logits), logits.shape[1]
    at, p, m = (torch.full((number,), value, dtype=torch.float64) for value in (heat, top_p, min_p))
    every = torch.arange(number)
    rows = Rows(every, torch.full((number,), min(k, vocabulary)), at, p, m, every)
    return [int(n) for n in candidates(logits, rows, vocabulary).competing]


SETTINGS = [
    (400, 1.0, 0.9, 0.0),
    (400, 0.7, 0.5, 0.0),
    (400, 1.0, 1.0, 0.05),
    (400, 2.0, 1.0, 0.3),
    (50, 1.0, 0.9, 0.0),
    (50, 1.3, 0.99, 0.1),
    (3, 1.0, 0.9, 0.2),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_same_tokens_are_left_as_transformers_leaves(setting: tuple[int, float, float, float]) -> None:
    k, heat, top_p, min_p = setting
    logits = random_logits(100, 400, seed=3).double()
    warpers: list[Any] = [TemperatureLogitsWarper(heat), TopKLogitsWarper(k), TopPLogitsWarper(top_p)]
    left = LogitsProcessorList([*warpers, MinPLogitsWarper(min_p)])(None, logits)
    assert counts(logits, *setting) == left.isfinite().sum(1).tolist()


def test_equal_tokens_are_left_in_whole_numbers_and_lowest_ids() -> None:
    logits = torch.zeros(4000, 10)
    for tenths in range(1, 11):
        assert counts(logits[:1], 10, 1.0, tenths / 10, 0.0) == [tenths]
        tokens = draw(logits, 10, 1.0, tenths / 10).tokens
        assert set(tokens.tolist()) == set(range(tenths))
    assert counts(logits[:1], 10, 1.0, 1.0, 1.0) == [10]


def test_a_mass_just_short_of_top_p_is_not_enough() -> None:
    assert counts(torch.zeros(1, 2), 2, 1.0, 0.5, 0.0) == [1]
    assert counts(torch.zeros(1, 2), 2, 1.0, 0.5 + 2.0**-50, 0.0) == [2]


def test_top_p_is_a_share_of_the_k_best() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).double().log()
    assert counts(logits, 4, 1.0, 0.65, 0.0) == [2]
    assert counts(logits, 4, 1.0, 0.75, 0.0) == [3]
    assert counts(logits, 2, 1.0, 0.75, 0.0) == [2]
    assert counts(logits, 2, 1.0, 0.55, 0.0) == [1]


def test_min_p_is_a_share_of_the_best_one() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).double().log()
    assert counts(logits, 4, 1.0, 1.0, 0.26) == [3]
    assert counts(logits, 4, 0.5, 1.0, 0.26) == [2]
    assert counts(logits, 4, 1.0, 0.65, 0.26) == [2]
    assert counts(logits, 4, 1.0, 1.0, 0.76) == [1]


@pytest.mark.parametrize("vocabulary", [300, 3000])
def test_one_candidate_is_greedy_and_needs_no_noise(vocabulary: int) -> None:
    logits = random_logits(64, vocabulary)
    for filters in ({"top_p": 1e-9}, {"min_p": 1.0}):
        drawn = draw(logits, vocabulary, 1.3, **filters)
        assert torch.equal(drawn.tokens, logits.argmax(1))
        assert (drawn.sampling_logprobs == 0).all()


@pytest.mark.parametrize("scale", [0.0, 0.01, 0.5, 3.0])
def test_a_nucleus_of_any_size_is_found_whole(scale: float) -> None:
    # From one token to nearly all of 3,000: the heads that are looked at first must not show.
    logits = random_logits(1, 3000, seed=1, scale=scale)
    number = 500
    node, keys = torch.zeros(number, dtype=torch.int64), level_keys(number)
    whole = draw(logits, 3000, keys=keys, node=node)
    for top_p in (0.05, 0.5, 0.9, 0.999):
        law = theory(logits[0], 3000, 1.0, top_p) if scale else np.arange(3000) < round(3000 * top_p)
        drawn = draw(logits, 3000, 1.0, top_p, keys=keys, node=node)
        assert (law[drawn.tokens.numpy()] > 0).all()
        inside = torch.tensor(law[whole.tokens.numpy()] > 0)
        assert torch.equal(drawn.tokens[inside], whole.tokens[inside])


def test_masses_fit_into_64_bits() -> None:
    logits = torch.zeros(1, LARGEST_VOCABULARY)
    ones = torch.ones(1, dtype=torch.float64)
    assert masses(logits, torch.zeros(1, dtype=torch.int64), ones).item() == LARGEST_VOCABULARY * UNIT
    assert counts(logits, LARGEST_VOCABULARY, 1.0, 0.5, 0.0) == [LARGEST_VOCABULARY // 2 + 1]


class Watch(TorchDispatchMode):
    """Fails on operations that raise on a GPU under torch.use_deterministic_algorithms(True)."""

    FORBIDDEN = ("put_", "histc", "bincount", "kthvalue", "median", "cumprod", "index_reduce", "scatter_add")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in self.FORBIDDEN, name
        assert not (name.startswith("cumsum") and args[0].is_floating_point()), "a running sum of floats"
        assert not (name.startswith("scatter_reduce") and args[4] not in ("amax", "amin")), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("vocabulary", [300, 3000])
def test_no_operation_without_a_deterministic_form_on_gpus(vocabulary: int) -> None:
    with Watch():
        draw(random_logits(60, vocabulary).bfloat16(), *random_settings(60, vocabulary, seed=4))


@needs_gpu
@pytest.mark.parametrize("vocabulary", [300, 3000, 50_257])
def test_a_gpu_draws_the_same_tokens(vocabulary: int) -> None:
    logits, settings = random_logits(256, vocabulary), random_settings(256, vocabulary, seed=3)
    torch.use_deterministic_algorithms(True)
    try:
        there = draw(logits.cuda(), *(column.cuda() for column in settings), keys=level_keys(256).cuda())
    finally:
        torch.use_deterministic_algorithms(False)
    here = draw(logits, *settings)
    assert torch.equal(there.tokens.cpu(), here.tokens)
    assert torch.allclose(there.logprobs.cpu(), here.logprobs, atol=1e-5)
    assert torch.allclose(there.sampling_logprobs.cpu(), here.sampling_logprobs, atol=1e-5)
