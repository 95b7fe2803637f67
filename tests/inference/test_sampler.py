"""The sampler against theory (the law of every draw) and against an independent numpy implementation (every token)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from harness.errors import CellError
from harness.inference import noise, sampler
from harness.inference.sampler import Draw, sample

Reference = Callable[..., tuple[int, float, float]]


def random_logits(rows: int, vocabulary: int, seed: int = 0, scale: float = 2.0) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale


def draw(
    logits: torch.Tensor, k: Any, temperature: Any = 1.0, index: int = 0, keys: torch.Tensor | None = None
) -> Draw:
    rows = len(logits)
    top_k = torch.as_tensor(k).expand(rows).clone()
    temperatures = torch.as_tensor(temperature, dtype=torch.float64).expand(rows).clone()
    if keys is None:
        keys = noise.row_keys(1, [("prompt", level) for level in range(rows)])
    return sample(logits, top_k, temperatures, keys, index)


def check_against(reference: Reference, logits: torch.Tensor, k: list[int], temperature: list[float]) -> None:
    keys = noise.row_keys(9, [("prompt", level) for level in range(len(logits))])
    drawn = draw(logits, torch.tensor(k), torch.tensor(temperature), 3, keys)
    for row in range(len(logits)):
        token, logprob, sampling = reference(logits[row].float(), k[row], temperature[row], int(keys[row]), 3)
        assert drawn.tokens[row] == token
        assert drawn.logprobs[row].item() == pytest.approx(logprob, abs=1e-5)
        assert drawn.sampling_logprobs[row].item() == pytest.approx(sampling, abs=1e-5)


@pytest.mark.parametrize("vocabulary", [7, 60, 1024, 1025, 9001])
def test_equals_numpy_token_for_token(reference: Reference, vocabulary: int) -> None:
    settings = [(k, t) for k in (1, 2, 5, 50, vocabulary) for t in (0.3, 1.0, 1.7) if k <= vocabulary] * 12
    k, temperature = zip(*settings, strict=True)
    check_against(reference, random_logits(len(settings), vocabulary), list(k), list(temperature))


@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 30.0])
def test_lazy_form_equals_the_full_one(scale: float) -> None:
    logits, ones = random_logits(60, 6000, seed=4, scale=scale), torch.linspace(0.2, 3.0, 60, dtype=torch.float64)
    steps = noise.step_keys(noise.row_keys(0, [("p", level) for level in range(60)]), 1)
    full = sampler._argmax_of_all(logits, ones, steps)
    assert torch.equal(sampler._argmax_of_all_lazily(logits, ones, steps), full)
    assert len(full.unique()) > 1


@pytest.mark.parametrize(("k", "temperature"), [(2, 1.0), (5, 1.0), (20, 0.7), (20, 1.5), (60, 1.0), (60, 0.5)])
def test_law_is_softmax_over_the_k_best(k: int, temperature: float) -> None:
    # Chi-square with 20,000 draws at p > 1e-4, cells of expectation under 5 merged: false alarm 1e-4 for each of six.
    number, logits = 20_000, random_logits(1, 60)
    tokens = draw(logits.expand(number, -1), k, temperature).tokens
    best = logits[0].topk(k)
    expected = np.zeros(60)
    expected[best.indices.numpy()] = number * torch.softmax(best.values.double() / temperature, 0).numpy()
    counts = np.bincount(tokens.numpy(), minlength=60)
    assert counts[expected == 0].sum() == 0
    rare = expected < 5
    seen = np.append(counts[~rare], counts[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    kept = wanted > 0
    assert stats.chisquare(seen[kept], wanted[kept]).pvalue > 1e-4


def test_law_of_the_lazy_form() -> None:
    # Deciles of probability as cells; chi-square with 10,000 draws at p > 1e-4: false alarm 1e-4.
    number, vocabulary = 10_000, 2000
    logits = random_logits(1, vocabulary, seed=8, scale=0.5)
    tokens = draw(logits.expand(number, -1), vocabulary).tokens
    probabilities = torch.softmax(logits[0].double(), 0).numpy()
    cell = np.argsort(np.argsort(probabilities)) * 10 // vocabulary
    expected = number * np.bincount(cell, probabilities)
    assert stats.chisquare(np.bincount(cell[tokens.numpy()], minlength=10), expected).pvalue > 1e-4


@pytest.mark.parametrize(("small", "large"), [(5, 40), (10, 200), (40, 300)])
def test_two_k_agree_as_often_as_any_coupling_can(small: int, large: int) -> None:
    # Agreement of 20,000 draws is binomial around sum min(p, q); within 4 sd: false alarm 6e-5 for each of three.
    number, logits = 20_000, random_logits(1, 300, scale=1.0)
    together = logits.expand(number, -1)
    agreement = (draw(together, small).tokens == draw(together, large).tokens).double().mean().item()
    ordered = logits[0].double().sort(descending=True).values
    inner, outer = torch.softmax(ordered[:small], 0), torch.softmax(ordered[:large], 0)
    largest = torch.minimum(inner, outer[:small]).sum().item()
    assert abs(agreement - largest) < 4 * (largest * (1 - largest) / number) ** 0.5


def test_nothing_outside_the_k_best_is_drawn() -> None:
    logits = random_logits(100_000, 60, seed=2, scale=0.3)
    k = torch.arange(100_000) % 60 + 1
    drawn = logits.gather(1, draw(logits, k).tokens[:, None])
    assert ((logits > drawn).sum(1) < k).all()


def test_ties_at_the_boundary_go_to_the_lowest_ids() -> None:
    logits = torch.zeros(6000, 1000)
    logits[:, 900] = 1.0
    tokens = draw(logits, 4).tokens
    assert set(tokens.tolist()) == {0, 1, 2, 900}


def test_ties_agree_with_numpy_for_every_k(reference: Reference) -> None:
    logits = random_logits(120, 50, seed=6, scale=1.0).mul(2).round()
    check_against(reference, logits, [row % 50 + 1 for row in range(120)], [1.0] * 120)


def test_all_logits_equal(reference: Reference) -> None:
    for vocabulary in (40, 3000):
        logits = torch.zeros(30, vocabulary)
        check_against(reference, logits, [1, 7, vocabulary] * 10, [1.0] * 30)
        assert (draw(logits, 1).tokens == 0).all()


def test_bfloat16_logits_are_widened(reference: Reference) -> None:
    logits = random_logits(150, 3000, seed=5).bfloat16()
    assert (logits.float().topk(41).values[:, 39] == logits.float().topk(41).values[:, 40]).any()
    check_against(reference, logits, [1, 40, 3000] * 50, [1.0, 1.0, 0.8] * 50)


def test_greedy_is_argmax_and_needs_no_noise() -> None:
    logits = random_logits(64, 300)
    one, other = (draw(logits, 1, keys=noise.row_keys(seed, [("p", 0)] * 64)) for seed in (1, 2))
    assert torch.equal(one.tokens, logits.argmax(1))
    assert torch.equal(one.tokens, other.tokens)
    assert (one.sampling_logprobs == 0).all()
    assert torch.allclose(one.logprobs, logits.double().log_softmax(1).amax(1))


def test_k_beyond_the_vocabulary_is_all() -> None:
    logits = random_logits(50, 60)
    for one, other in zip(draw(logits, 60), draw(logits, 1000), strict=True):
        assert torch.equal(one, other)


def test_a_row_is_a_pure_function_of_itself() -> None:
    logits = random_logits(64, 2049, seed=3)
    k = torch.tensor([1, 3, 5, 40, 41, 300, 2048, 2049] * 8)
    temperature = torch.tensor([1.0, 0.7, 1.3] * 21 + [1.0], dtype=torch.float64)
    keys = noise.row_keys(0, [("p", level) for level in range(64)])
    together = sample(logits, k, temperature, keys, 5)
    for start, end in [(row, row + 1) for row in range(64)] + [(3, 5), (10, 31), (32, 64)]:
        part = slice(start, end)
        alone = sample(logits[part], k[part], temperature[part], keys[part], 5)
        for field, whole in zip(alone, together, strict=True):
            assert torch.equal(field, whole[part])


def test_sampling_logprob_is_the_full_one_for_all_at_temperature_1() -> None:
    drawn = draw(random_logits(50, 300), torch.tensor([300, 5] * 25))
    assert torch.equal(drawn.logprobs[::2], drawn.sampling_logprobs[::2])
    assert (drawn.logprobs[1::2] < drawn.sampling_logprobs[1::2]).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_logits_are_refused(bad: float) -> None:
    logits = random_logits(5, 60)
    logits[3, 17] = bad
    with pytest.raises(CellError, match="not finite"):
        draw(logits, 5)


def test_a_larger_k_in_the_batch_does_not_touch_the_last_bit() -> None:
    logits = random_logits(1000, 2000, seed=7)
    alone = draw(logits[:-1], 150, keys=noise.row_keys(0, [("p", level) for level in range(999)]))
    k = torch.tensor([150] * 999 + [1999])
    beside = draw(logits, k, keys=noise.row_keys(0, [("p", level) for level in range(1000)]))
    assert torch.equal(beside.sampling_logprobs[:-1], alone.sampling_logprobs)
