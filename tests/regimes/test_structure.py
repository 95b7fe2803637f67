"""Mechanisms that change what is computed, against explicit re-implementations of the block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from regimes_in_place import CLASSES, LAYERS, batch, build, gradients, logits, placed
from torch import Tensor, nn

from harness.regimes.anatomy import first
from harness.regimes.audit import audited


def layers_of(model: Any) -> Any:
    """The list of layers of any class."""
    body: Any = model.base_model
    if hasattr(body, "h"):
        return body.h
    return body.transformer.layer if hasattr(body, "transformer") else body.encoder.layer


@pytest.mark.parametrize("name", CLASSES)
def test_a_dropped_layer_passes_its_input_on_and_gets_no_gradient(name: str) -> None:
    model, sites, _ = placed(name, {"layerdrop": {"rate": 1.0, "depth": [0.0, 1.0]}})
    seen: list[tuple[Tensor, Tensor]] = []
    for layer in layers_of(model):
        layer.register_forward_hook(
            lambda _, args, kwargs, output: seen.append((args[0] if args else kwargs["hidden_states"], first(output))),
            with_kwargs=True,
        )
    output = logits(model, sites)
    assert not torch.equal(*seen[0])
    assert torch.equal(*seen[1])
    found = gradients(model, output)
    kept, gone = ({key for key in found if f".{layer}." in key} for layer in range(LAYERS))
    assert kept
    assert not gone
    short = build(name)
    del layers_of(short)[1]
    for module in short.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert torch.equal(output, logits(short))


@pytest.mark.parametrize("name", CLASSES)
def test_stochastic_depth_leaves_the_skip_only(name: str) -> None:
    """At rate 1 a block is its skips: the identity in GPT-2, two norms of it in the post-LN classes."""
    model, sites, _ = placed(name, {"stochastic_depth": 1.0})
    layer = layers_of(model)[1]
    x = torch.randn(3, 5, 32)
    y = first(layer(x))
    norms = {"bert": ("attention.output.LayerNorm", "output.LayerNorm"), "distilbert": ("sa_layer_norm",
             "output_layer_norm"), "gpt2": ()}  # fmt: skip
    family = name.split("-")[0]
    modules = dict(layer.named_modules())
    for norm in norms.get(family, norms["bert"]):
        x = modules[norm](x)
    assert torch.equal(y, x)
    assert torch.isfinite(logits(model, sites)).all()


@pytest.mark.parametrize("name", ["bert-classification", "gpt2-classification", "distilbert-masked"])
def test_stochastic_depth_is_per_example_inside_the_model(name: str) -> None:
    """An example whose sub-layers are all kept has other logits than one that loses them; rows do not mix."""
    model, sites, _ = placed(name, {"stochastic_depth": 0.5})
    masks: list[Tensor] = []
    for slot in (slot for slot in sites.slots if slot.site == "stochastic_depth"):
        slot.module.register_forward_hook(lambda _, __, output: masks.append((output == 0).flatten(1).all(dim=1)))
    ids = batch(1).inputs["input_ids"].repeat(64, 1)
    torch.manual_seed(3)
    output = model(ids).logits.flatten(1)
    kept = torch.stack(masks, dim=1)
    assert kept.shape == (64, 2 * LAYERS)
    patterns = {tuple(row.tolist()) for row in kept}
    assert len(patterns) > 8
    for pattern in patterns:
        same = [i for i in range(64) if tuple(kept[i].tolist()) == pattern]
        torch.testing.assert_close(output[same], output[same[:1]].expand(len(same), -1), atol=1e-6, rtol=0)


def li_and_ke(model: Any, ids: Tensor, rate: float, masks: list[Tensor] | None) -> Tensor:
    """Hidden states of GPT-2 with the skip of arXiv 2410.01019, written out; `masks` of zeros and ones in training.

    y = m * LN1(x) + attention(LN1(x)); z = m' * LN2(y) + mlp(LN2(y)); evaluation has 1 - rate in the masks' places.
    """
    body = model.transformer
    x = body.wte(ids) + body.wpe(torch.arange(ids.shape[1]))
    places = iter(masks or [])

    def skip(normed: Tensor) -> Tensor:
        return normed * (1 - rate if masks is None else next(places))

    for block in body.h:
        normed = block.ln_1(x)
        x = skip(normed) + attention(block.attn, normed)
        normed = block.ln_2(x)
        x = skip(normed) + block.mlp.c_proj(block.mlp.act(block.mlp.c_fc(normed)))
    hidden: Tensor = body.ln_f(x)
    return hidden


def attention(module: Any, x: Tensor) -> Tensor:
    """Causal self-attention, written out."""
    rows, length, width = x.shape
    q, k, v = (
        part.view(rows, length, module.num_heads, -1).transpose(1, 2) for part in module.c_attn(x).split(width, dim=2)
    )
    scores = q @ k.transpose(-1, -2) / (width // module.num_heads) ** 0.5
    scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), float("-inf"))
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(rows, length, width)
    projected: Tensor = module.c_proj(mixed)
    return projected


@pytest.mark.parametrize("name", ["gpt2-language", "gpt2-classification"])
@pytest.mark.parametrize("rate", [0.0, 0.25])
@pytest.mark.parametrize("training", [True, False])
def test_the_skip_of_li_and_ke_equals_their_block(name: str, rate: float, training: bool) -> None:
    model, sites, regime = placed(name, {"layer_norm_skip": rate})
    masks: list[Tensor] = []
    for slot in (slot for slot in sites.slots if slot.site == "layer_norm_skip"):
        slot.module.register_forward_hook(lambda _, __, output: masks.append((output != 0).float()))
    hidden: list[Tensor] = []
    model.transformer.ln_f.register_forward_hook(lambda _, __, output: hidden.append(output))
    if training:
        torch.manual_seed(3)
        with audited(sites, regime.rates(0, 1)):
            model(batch().inputs["input_ids"])
    else:
        model.eval()
        state = torch.get_rng_state()
        model(batch().inputs["input_ids"])
        assert torch.equal(state, torch.get_rng_state())
    explicit = build(name).eval()
    expected = li_and_ke(explicit, batch().inputs["input_ids"], rate, masks if training else None)
    torch.testing.assert_close(hidden[0], expected, atol=2e-5, rtol=0)
    plain = explicit.transformer(batch().inputs["input_ids"]).last_hidden_state
    assert (hidden[0] - plain).abs().max() > 0.1  # another model than GPT-2, at rate 0 as well
    if training and rate > 0:
        share = torch.stack(masks).mean()
        assert 0.7 < share < 0.8


def test_the_skip_of_li_and_ke_has_their_gradients() -> None:
    model, sites, _ = placed("gpt2-language", {"layer_norm_skip": 0.25})
    masks: list[Tensor] = []
    for slot in (slot for slot in sites.slots if slot.site == "layer_norm_skip"):
        slot.module.register_forward_hook(lambda _, __, output: masks.append((output != 0).float()))
    found = gradients(model, logits(model, sites))
    explicit = build("gpt2-language").eval()
    expected = gradients(explicit, explicit.lm_head(li_and_ke(explicit, batch().inputs["input_ids"], 0.25, masks)))
    assert found.keys() == expected.keys()
    for key, gradient in found.items():
        torch.testing.assert_close(gradient, expected[key], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_with_a_cache_the_skip_of_li_and_ke_gives_the_logits_of_the_full_forward(rate: float) -> None:
    model, _, _ = placed("gpt2-language", {"layer_norm_skip": rate})
    model.eval()
    ids = batch(4, 12).inputs["input_ids"]
    with torch.no_grad():
        full = model(ids).logits
        step = model(ids[:, :5], use_cache=True)
        parts = [step.logits]
        for position in range(5, 12):
            step = model(ids[:, position : position + 1], past_key_values=step.past_key_values, use_cache=True)
            parts.append(step.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), full, atol=1e-5, rtol=0)


def test_the_skip_of_li_and_ke_is_audited_at_rate_0_and_draws_nothing() -> None:
    model, sites, regime = placed("gpt2-language", {"layer_norm_skip": 0.0})
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with audited(sites, regime.rates(0, 1)):
        logits(model, sites)
    assert torch.equal(state, torch.get_rng_state())


def test_identity_dropout_and_stochastic_depth_act_on_their_own_branch() -> None:
    """GPT-2's block with both, written out: drop(x) + b / (1 - p) * f(LN(x))."""
    model, sites, _ = placed("gpt2-language", {"identity": 0.3, "stochastic_depth": 0.4})
    block, x = model.transformer.h[0], torch.randn(6, 5, 32)
    factors: dict[str, list[Tensor]] = {"identity": [], "stochastic_depth": []}
    for slot in (slot for slot in sites.slots if slot.layer == 0 and slot.site in factors):
        slot.module.register_forward_hook(
            # 0 / 0 where the other one has dropped the input already: any factor will do
            lambda _, args, output, site=slot.site: factors[site].append((output / args[0]).detach().nan_to_num())
        )
    torch.manual_seed(8)
    ours = first(block(x))
    sites.set({})
    skips, paths = factors["identity"], [factor[:, :1, :1] for factor in factors["stochastic_depth"]]
    assert {round(float(value), 4) for value in torch.stack(paths).flatten()} == {0.0, 1.6667}
    middle = skips[0] * x + paths[0] * first(block.attn(block.ln_1(x)))
    explicit = skips[1] * middle + paths[1] * block.mlp(block.ln_2(middle))
    torch.testing.assert_close(ours, explicit, atol=2e-5, rtol=0)
