"""The sampler against an independent numpy implementation (every token), and its promises: ties, purity, sharing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from drawing import draw, level_keys, random_logits

from harness.errors import CellError
from harness.inference import noise, sampler
from harness.inference.candidates import Rows
from harness.inference.sampler import sample
from harness.inference.sums import LARGEST_VOCABULARY

Reference = Callable[..., tuple[int, float, float]]


def check_against(reference: Reference, logits: torch.Tensor, k: list[int], temperature: list[float]) -> None:
    keys = level_keys(len(logits), seed=9)
    drawn = draw(logits, torch.tensor(k), torch.tensor(temperature, dtype=torch.float64), index=3, keys=keys)
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
    logits, heat = random_logits(60, 6000, seed=4, scale=scale), torch.linspace(0.2, 3.0, 60, dtype=torch.float64)
    steps = noise.step_keys(level_keys(60, seed=0), 1)
    rows = Rows(torch.arange(60), torch.full((60,), 6000), heat, torch.ones(60), torch.zeros(60), steps)
    full = sampler._argmax_of_all(logits, rows)
    assert torch.equal(sampler._argmax_of_all_lazily(logits, rows), full)
    assert len(full.unique()) > 1


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
    logits, keys = random_logits(64, 2049, seed=3), level_keys(64)
    k = torch.tensor([1, 3, 5, 40, 41, 300, 2048, 2049] * 8)
    temperature = torch.tensor([1.0, 0.7, 1.3] * 21 + [1.0], dtype=torch.float64)
    top_p = torch.tensor([1.0, 0.9, 1.0, 0.999, 0.5] * 13, dtype=torch.float64)[:64]
    min_p = torch.tensor([0.0, 0.0, 0.05, 0.001, 0.0, 0.0, 0.3] * 10, dtype=torch.float64)[:64]
    together = sample(logits, k, temperature, keys, 5, top_p=top_p, min_p=min_p)
    for start, end in [(row, row + 1) for row in range(64)] + [(3, 5), (10, 31), (32, 64)]:
        part = slice(start, end)
        p, m = top_p[part], min_p[part]
        alone = sample(logits[part], k[part], temperature[part], keys[part], 5, top_p=p, min_p=m)
        for field, whole in zip(alone, together, strict=True):
            assert torch.equal(field, whole[part])


@pytest.mark.parametrize("vocabulary", [300, 2049])
def test_rows_that_share_logits_draw_as_rows_of_their_own(vocabulary: int) -> None:
    logits, node = random_logits(9, vocabulary, seed=3), (torch.arange(200) * 7) % 9
    settings = [
        torch.tensor([1, 3, 5, 40, 41, 200, vocabulary - 1, vocabulary] * 25),
        torch.tensor([1.0, 0.7] * 100, dtype=torch.float64),
        torch.tensor([1.0, 1.0, 0.9, 0.999, 0.5] * 40, dtype=torch.float64),
        torch.tensor([0.0, 0.0, 0.0, 0.05] * 50, dtype=torch.float64),
    ]
    for shared, own in zip(draw(logits, *settings, node=node), draw(logits[node], *settings), strict=True):
        assert torch.equal(shared, own)


def test_filters_that_are_off_change_no_bit() -> None:
    logits, k = random_logits(100, 300), torch.tensor([1, 5, 299, 300] * 25)
    ones = torch.ones(100, dtype=torch.float64)
    plain = sample(logits, k, ones, level_keys(100), 2)
    for one, other in zip(plain, draw(logits, k, index=2), strict=True):
        assert torch.equal(one, other)


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
    alone = draw(logits[:-1], 150, keys=level_keys(999))
    k = torch.tensor([150] * 999 + [1999])
    beside = draw(logits, k, keys=level_keys(1000))
    assert torch.equal(beside.sampling_logprobs[:-1], alone.sampling_logprobs)


def test_a_vocabulary_too_large_for_exact_masses_is_refused() -> None:
    with pytest.raises(CellError, match=str(LARGEST_VOCABULARY)):
        draw(torch.zeros(1, LARGEST_VOCABULARY + 1), 5)
