"""R-Drop and label smoothing against losses computed by hand, and all kinds of mechanisms at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from regimes_in_place import batch, build, placed
from torch import Tensor
from torch.nn import functional

from harness.regimes.audit import audited
from harness.regimes.mechanisms import MECHANISMS, Objective
from harness.regimes.parse import parse_regime
from harness.training.inputs import IGNORED, MicroBatch
from harness.training.objective import forward, loss_sum

LANGUAGE = ("gpt2-language", "bert-masked")


def micro(name: str) -> MicroBatch:
    """Four examples; a language model's targets are its tokens, some of them without a loss."""
    made = batch()
    if name not in LANGUAGE:
        return made
    targets = made.inputs["input_ids"].clone()
    targets[:, ::3] = IGNORED
    return MicroBatch(made.inputs, targets, made.rows)


def log_probabilities(logits: Tensor, targets: Tensor) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """In float64 with numpy: [targets with a loss, classes], and those targets."""
    flat, ids = logits.detach().double().flatten(0, -2).numpy(), targets.flatten().numpy()
    flat, ids = flat[ids != IGNORED], ids[ids != IGNORED]
    shifted = flat - flat.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), ids


def cross_entropy(logits: Tensor, targets: Tensor, epsilon: float = 0.0) -> float:
    """Sum of -sum_k q_k log p_k, q = (1 - epsilon) one-hot + epsilon / K."""
    log_p, ids = log_probabilities(logits, targets)
    q = np.full_like(log_p, epsilon / log_p.shape[1])
    q[np.arange(len(ids)), ids] += 1 - epsilon
    return float(-(q * log_p).sum())


def divergence(one: Tensor, other: Tensor, targets: Tensor) -> float:
    """Sum of KL(p || q) over the targets with a loss."""
    (p, _), (q, _) = log_probabilities(one, targets), log_probabilities(other, targets)
    return float((np.exp(p) * (p - q)).sum())


def test_every_objective_is_tested_here() -> None:
    assert {name for name, one in MECHANISMS.items() if issubclass(one, Objective)} == {"rdrop", "label_smoothing"}


@pytest.mark.parametrize("name", ["bert-classification", *LANGUAGE])
@pytest.mark.parametrize("epsilon", [0.1, 0.6])
def test_label_smoothing_equals_its_formula(name: str, epsilon: float) -> None:
    made = micro(name)
    logits = forward(build(name).eval(), made)
    loss = parse_regime("a", {"label_smoothing": epsilon}, "a").loss(loss_sum)
    assert float(loss(logits, made.targets)) == pytest.approx(cross_entropy(logits, made.targets, epsilon), rel=1e-5)
    plain = parse_regime("a", {"label_smoothing": 0.0}, "a").loss(loss_sum)
    assert plain is loss_sum
    assert float(loss_sum(logits, made.targets)) == pytest.approx(cross_entropy(logits, made.targets), rel=1e-5)


@pytest.mark.parametrize("name", ["bert-classification", *LANGUAGE])
@pytest.mark.parametrize("raw", [{"rdrop": 0.7}, {"rdrop": 0.7, "label_smoothing": 0.1}, {"rdrop": 0.0}])
def test_r_drop_equals_two_forwards_under_two_explicit_masks(name: str, raw: dict[str, float]) -> None:
    made = micro(name)
    model, sites, regime = placed(name, {"embedding": 0.3, **raw})
    masks = functional.dropout(torch.ones(8, 9, 32), 0.3)
    carrier: Any = next(slot.module for slot in sites.slots if slot.site == "embedding")
    carrier.draw = lambda x, _: x * masks
    with audited(sites, regime.rates(0, 1)):
        doubled = made.repeated(regime.forwards)
        ours = regime.loss(loss_sum)(forward(model, doubled), doubled.targets)

    by_hand = []
    for mask in masks.chunk(2):
        carrier.draw = lambda x, _, mask=mask: x * mask
        by_hand.append(forward(model, made))
    one, two = by_hand
    epsilon, alpha = raw.get("label_smoothing", 0.0), raw["rdrop"]
    entropies = [cross_entropy(each, made.targets, epsilon) for each in by_hand]
    kl = divergence(one, two, made.targets) + divergence(two, one, made.targets)
    assert kl > 1e-4
    assert float(ours) == pytest.approx(0.5 * sum(entropies) + alpha * 0.5 * kl, rel=1e-5)


@pytest.mark.parametrize("name", ["bert-classification", *LANGUAGE])
def test_r_drop_without_dropout_is_the_plain_loss(name: str) -> None:
    made = micro(name)
    model, sites, regime = placed(name, {"embedding": 0.1, "rdrop": 5.0})
    sites.set({})
    doubled = made.repeated(2)
    logits = forward(model, doubled)
    one, two = logits.chunk(2)
    assert divergence(one, two, made.targets) == pytest.approx(0.0, abs=1e-9)
    ours = regime.loss(loss_sum)(logits, doubled.targets)
    assert float(ours) == pytest.approx(float(loss_sum(forward(model, made), made.targets)), rel=1e-5)


def test_the_gradient_of_r_drop_is_that_of_its_loss_by_hand() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(2)).requires_grad_()
    targets = torch.tensor([0, 4, IGNORED] * 2)
    loss = parse_regime("a", {"head": 0.1, "rdrop": 0.7}, "a").loss(loss_sum)
    (ours,) = torch.autograd.grad(loss(logits, targets), logits)
    p, q = (part[:2].log_softmax(-1) for part in logits.chunk(2))
    entropies = functional.nll_loss(p, targets[:2], reduction="sum") + functional.nll_loss(
        q, targets[:2], reduction="sum"
    )
    kl = functional.kl_div(p, q, reduction="sum", log_target=True) + functional.kl_div(
        q, p, reduction="sum", log_target=True
    )
    (expected,) = torch.autograd.grad(0.5 * entropies + 0.35 * kl, logits)
    torch.testing.assert_close(ours, expected)
    assert not ours[[2, 5]].any()


@pytest.mark.parametrize("name", ["electra-classification", "distilbert-classification", *LANGUAGE])
def test_mechanisms_of_every_kind_train_together_under_audit(name: str) -> None:
    raw: dict[str, Any] = {
        "rdrop": 1.0, "label_smoothing": 0.1, "layerdrop": {"linear": {"start": 0.3, "end": 0.1}},
        "sublayer": {"rate": {"cosine": {"start": 0.2, "end": 0.05}}, "noise": "gaussian"},
        "embedding": {"rate": 0.1, "noise": "locked"}, "attention": 0.1, "mixout": 0.5, "drophead": 0.2,
        "stochastic_depth": {"rate": 0.2, "depth": "linear"}, "token_dropout": 0.1,
    }  # fmt: skip
    model, sites, regime = placed(name, raw)
    made = micro(name)
    doubled = made.repeated(2)
    loss = regime.loss(loss_sum)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before = float(loss_sum(forward(model.eval(), made), made.targets))
    model.train()
    for step in range(60):
        rates = regime.rates(step, 60)
        sites.set(rates)
        torch.manual_seed(step)
        optimizer.zero_grad()
        with audited(sites, rates):
            logits = forward(model, doubled, sites.weights())
        torch.autograd.backward(loss(logits, doubled.targets) / made.count)
        optimizer.step()
    after = float(loss_sum(forward(model.eval(), made), made.targets))
    assert after < 0.8 * before
