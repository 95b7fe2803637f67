"""Identity dropout and inserted dropouts against explicit re-implementations of each family's block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_classes import CLASSES, WIDTH
from torch import Tensor
from torch.nn import functional

from harness.regimes.sites import Sites, install


def training(name: str) -> tuple[Any, Sites]:
    model = CLASSES[name].build()
    sites = install(model)
    model.train()
    return model, sites


def mask(like: Tensor, rate: float = 0.3) -> Tensor:
    return functional.dropout(torch.ones_like(like), rate)


def hidden() -> Tensor:
    return torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(4)).requires_grad_()


def passed(output: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The output, and the gradient of the sum of its squares in x (that of a layer norm's plain sum is 0)."""
    (gradient,) = torch.autograd.grad(output.square().sum(), x)
    return output, gradient


@pytest.mark.parametrize("family", ["bert", "roberta", "electra"])
def test_identity_dropout_of_bert_and_its_kin_equals_an_explicit_block(family: str) -> None:
    """Post-LN: LN(drop(x) + f(x)) in both sub-layers, bit for bit."""
    model, sites = training(f"{family}-classification")
    sites.set({"identity": 0.3})
    layer = model.base_model.encoder.layer[1]
    for output, width in ((layer.attention.output, WIDTH), (layer.output, 64)):
        f, x = torch.randn(2, 5, width), torch.randn(2, 5, WIDTH)
        torch.manual_seed(8)
        ours = output(f, x)
        torch.manual_seed(8)
        assert torch.equal(ours, output.LayerNorm(output.dense(f) + mask(x) * x))


def test_identity_dropout_of_gpt2_equals_an_explicit_block() -> None:
    """Pre-LN: drop(x) + f(LN(x)); the norm reads x as it is. The hook adds drop(x) - x, so bits differ."""
    model, sites = training("gpt2-language")
    sites.set({"identity": 0.3})
    block = model.transformer.h[0]
    x = hidden()
    torch.manual_seed(8)
    ours = passed(block(x), x)
    torch.manual_seed(8)
    first, second = mask(x), mask(x)
    sites.set({})
    middle = first * x + block.attn(block.ln_1(x))[0]
    explicit = passed(second * middle + block.mlp(block.ln_2(middle)), x)
    torch.testing.assert_close(ours[0], explicit[0], atol=5e-6, rtol=0)
    torch.testing.assert_close(ours[1], explicit[1], atol=5e-5, rtol=0)


@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_identity_and_sublayer_dropout_of_distilbert_equal_an_explicit_block(rate: float) -> None:
    """Post-LN: LN(drop(x) + drop(f(x))) with the two masks drawn apart. The hook adds drop(x) - x, so bits differ."""
    model, sites = training("distilbert-classification")
    sites.set({"identity": 0.3, "sublayer": rate})
    block = model.distilbert.transformer.layer[0]
    x = hidden()
    torch.manual_seed(8)
    ours = passed(block(x), x)
    torch.manual_seed(8)
    # In the order in which the block draws them: a sub-layer's output, then its skip.
    masks = [mask(x, p) if p else torch.ones_like(x) for p in (rate, 0.3, rate, 0.3)]
    sites.set({})
    middle = block.sa_layer_norm(masks[1] * x + masks[0] * block.attention(x)[0])
    explicit = passed(block.output_layer_norm(masks[3] * middle + masks[2] * block.ffn(middle)), x)
    torch.testing.assert_close(ours[0], explicit[0], atol=5e-6, rtol=0)
    torch.testing.assert_close(ours[1], explicit[1], atol=5e-5, rtol=0)


def test_the_dropout_inserted_into_distilbert_is_one_of_its_output_layer() -> None:
    model, sites = training("distilbert-classification")
    attention = model.distilbert.transformer.layer[1].attention
    projected: list[Tensor] = []
    attention.out_lin.register_forward_hook(lambda _, __, output: projected.append(output))
    x = hidden()
    plain = attention(x)[0]
    assert torch.equal(plain, projected[-1])
    sites.set({"sublayer": 0.5})
    torch.manual_seed(8)
    dropped = attention(x)[0]
    torch.manual_seed(8)
    assert torch.equal(dropped, functional.dropout(projected[-1], 0.5))
    assert not torch.equal(dropped, plain)


def test_the_head_inserted_into_gpt2_is_a_dropout_of_the_classifiers_input() -> None:
    model, sites = training("gpt2-classification")
    x = torch.randn(2, 5, WIDTH)
    sites.set({"head": 0.5})
    torch.manual_seed(8)
    ours = model.score(x)
    torch.manual_seed(8)
    dropped = functional.dropout(x, 0.5)
    sites.set({})
    assert torch.equal(ours, model.score(dropped))
