"""The keyed uniforms: equal to a plain-integer reference, uniform, and independent along every address."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from harness.inference import noise
from harness.randomness import key

MASK = 2**64 - 1


def splitmix(z: int) -> int:
    z &= MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def uniform(row_key: int, index: int, token: int) -> float:
    step = splitmix(row_key + (index + 1) * 0x9E3779B97F4A7C15)
    return ((splitmix(step + (token + 1) * 0x9E3779B97F4A7C15) >> 12) + 0.5) / 2**52


def uniforms(rows: torch.Tensor, index: int, tokens: torch.Tensor) -> torch.Tensor:
    return noise.uniforms(noise.hashes(noise.step_keys(rows, index), tokens))


def test_uniforms_equal_those_of_plain_integers() -> None:
    keys = [0, 1, 2**63, MASK, key(7, "decode", 0, "abc"), key(7, "decode", 1, "abc")]
    rows = torch.tensor([noise.signed(value) for value in keys])
    tokens = torch.tensor([[0, 1, 299, 50256, 2**31]])
    for index in (0, 1, 63):
        expected = [[uniform(value, index, token) for token in tokens[0].tolist()] for value in keys]
        assert uniforms(rows, index, tokens).tolist() == expected


def test_splitmix_gives_the_published_first_outputs_for_seed_0() -> None:
    # The first outputs of SplitMix64 seeded with 0, as in the public-domain reference by Vigna.
    outputs = noise.mix(torch.arange(1, 4) * noise.GAMMA).tolist()
    assert [value & MASK for value in outputs] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_row_keys_are_the_study_s_keys() -> None:
    rows = noise.row_keys(3, [("ab", 0), ("ab", 1), ("cd", 0)])
    assert [value & MASK for value in rows.tolist()] == [
        key(3, "decode", 0, "ab"),
        key(3, "decode", 1, "ab"),
        key(3, "decode", 0, "cd"),
    ]


def test_index_may_differ_by_row() -> None:
    rows, tokens = noise.row_keys(0, [("a", 0), ("b", 0)]), torch.tensor([[5, 6]])
    both = noise.hashes(noise.step_keys(rows, torch.tensor([2, 9])), tokens)
    assert torch.equal(both[0], noise.hashes(noise.step_keys(rows, 2), tokens)[0])
    assert torch.equal(both[1], noise.hashes(noise.step_keys(rows, 9), tokens)[1])


@pytest.mark.parametrize("along", ["token", "index", "level"])
def test_uniform_along_every_address(along: str) -> None:
    # Kolmogorov-Smirnov on 100,000 values at p > 1e-4: false alarm 1e-4 for each of the three.
    number = 100_000
    if along == "token":
        values = uniforms(noise.row_keys(11, [("p", 0)]), 0, torch.arange(number)[None])[0]
    elif along == "index":
        steps = noise.step_keys(noise.row_keys(11, [("p", 0)]).expand(number), torch.arange(number))
        values = noise.uniforms(noise.hashes(steps, torch.full((number,), 17)))
    else:
        rows = noise.row_keys(11, [("p", level) for level in range(number)])
        values = noise.uniforms(noise.hashes(noise.step_keys(rows, 0), torch.full((number,), 17)))
    assert stats.kstest(values.numpy(), "uniform").pvalue > 1e-4


def test_neighbours_along_index_token_and_level_are_independent() -> None:
    # Correlation of n pairs has sd 1/sqrt(n); |r| < 4 sd: false alarm 6e-5 for each of the four.
    rows = noise.row_keys(5, [("p", level) for level in range(301)])
    grid = np.stack([uniforms(rows, index, torch.arange(40)[None]).numpy() for index in range(31)])  # [index, row, id]
    pairs = [
        (grid[1:], grid[:-1]),
        (grid[:, 1:], grid[:, :-1]),
        (grid[:, :, 1:], grid[:, :, :-1]),
        (grid[1:, :, :-1], grid[:-1, :, 1:]),
    ]
    for one, other in pairs:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / one.size**0.5


def test_gumbels_are_finite_at_both_ends_of_the_hash() -> None:
    ends = noise.uniforms(torch.tensor([0, -1]))
    assert ends.tolist() == [0.5 / 2**52, 1 - 2.0**-53]
    assert torch.isfinite(-torch.log(-torch.log(ends))).all()


def test_tokens_reaching_a_bar_are_exactly_those_with_that_much_noise() -> None:
    steps = noise.step_keys(noise.row_keys(2, [("p", level) for level in range(9)]), 4)
    every = noise.gumbels(steps, torch.arange(5000)[None])
    bar = torch.tensor([-3.0, 0.0, 1.0, 4.0, 6.0, 8.0, 30.0, 50.0, 5.0], dtype=torch.float64)
    rows, tokens = noise.tokens_reaching(steps, bar, 5000)
    assert set(zip(rows.tolist(), tokens.tolist(), strict=True)) == set(
        map(tuple, (every >= bar[:, None]).nonzero().tolist())
    )
    assert (every >= bar[:, None]).sum() > 1000


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_has_the_same_uniforms() -> None:
    rows = noise.row_keys(1, [("p", level) for level in range(300)])
    tokens = torch.arange(50_257)[None]
    assert torch.equal(uniforms(rows.cuda(), 7, tokens.cuda()).cpu(), uniforms(rows, 7, tokens))
