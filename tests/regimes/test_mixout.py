"""Mixout in every model class: which weights, how many fall back, to what mean, with what gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from regimes_in_place import CLASSES, LAYERS, batch, logits, placed
from scipy import stats

from harness.regimes.noise import WeightMix
from harness.regimes.sites import Sites
from harness.training.objective import forward

RATE = 0.3


def mix(sites: Sites, weight: str) -> WeightMix:
    """The module that mixes one weight."""
    modules = (slot.module for slot in sites.slots)
    return next(one for one in modules if isinstance(one, WeightMix) and one.weight == weight)


@pytest.mark.parametrize("name", CLASSES)
def test_mixout_falls_back_to_the_starting_weights_and_keeps_the_mean(name: str) -> None:
    """Exact binomial tests at 1e-5 (12 matrices at most), and 64 means at 5.5 standard errors: 1 of 8,000 seeds."""
    model, sites, _ = placed(name, {"mixout": RATE})
    start = {key: value.detach().clone() for key, value in model.named_parameters()}
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1.0 + torch.rand(parameter.shape, generator=generator)
    torch.manual_seed(18)
    mixed = sites.weights()
    assert mixed is not None
    now: dict[str, Any] = dict(model.named_parameters())
    assert mixed.keys() < now.keys()
    assert all(now[key].ndim == 2 for key in mixed)
    for key, weight in mixed.items():
        back = weight == start[key]
        assert stats.binomtest(int(back.sum()), back.numel(), RATE).pvalue > 1e-5
        expected = start[key] + (now[key] - start[key]) / (1 - RATE)
        torch.testing.assert_close(weight[~back], expected[~back])
    key = next(iter(mixed))
    draws = torch.stack([mix(sites, key).mixed()[:8, :8].detach() for _ in range(600)])
    error = draws.std(dim=0) / 600**0.5
    assert ((draws.mean(dim=0) - now[key][:8, :8].detach()).abs() / error).max() < 5.5
    assert all(torch.equal(now[key], value) for key, value in model.named_parameters())


def test_mixout_covers_every_matrix_of_the_layers_and_nothing_else() -> None:
    for name in CLASSES:
        model, sites, _ = placed(name, {"mixout": RATE})
        mixed = sites.weights() or {}
        ours = {key for key, value in model.named_parameters() if value.ndim == 2 and _in_layer(key)}
        assert set(mixed) == ours
        assert len(mixed) == LAYERS * (4 if name.startswith("gpt2") else 6)  # GPT-2 has q, k and v in one matrix


def _in_layer(key: str) -> bool:
    return ".layer." in key or ".h." in key


@pytest.mark.parametrize("name", ["bert-classification", "gpt2-language"])
def test_the_gradient_of_mixout_is_that_of_the_mixed_weights(name: str) -> None:
    """The gradient of W is m / (1 - p) times that of the mixed weights, under the mask of the forward."""
    model, sites, _ = placed(name, {"mixout": 0.5})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
    torch.manual_seed(19)
    mixed = sites.weights()
    assert mixed is not None
    for weight in mixed.values():
        weight.retain_grad()
    torch.autograd.backward(forward(model, batch(), mixed).square().sum())
    now = dict(model.named_parameters())
    for key, weight in mixed.items():
        back = weight == mix(sites, key)._start[0]
        assert weight.grad is not None
        assert now[key].grad is not None
        torch.testing.assert_close(now[key].grad, torch.where(back, 0.0, 2.0 * weight.grad))


def test_the_start_is_that_of_the_installation_and_in_no_checkpoint() -> None:
    """A resumed cell installs before it loads: `_start` must be a copy, and no part of the state."""
    model, sites, _ = placed("gpt2-language", {"mixout": 1.0})
    plain = logits(model)
    before = {key: value.clone() for key, value in (sites.weights() or {}).items()}
    state = {key: value + 1.0 for key, value in model.state_dict().items()}
    assert not any("mixout" in key for key in state)
    model.load_state_dict(state)
    after = sites.weights()
    assert after is not None
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert not torch.equal(plain, logits(model, sites))  # embeddings, norms and biases have moved
