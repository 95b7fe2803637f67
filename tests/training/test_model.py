"""Keyed initialisation: new weights are a function of (seed, init level, parameter name) and of nothing ambient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from model_classes import CLASSES
from transformers import BertConfig, BertForSequenceClassification, BertModel, GPT2Config, GPT2LMHeadModel

from harness.randomness import Streams
from harness.training.model import draw_weights, trainable

BERT = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def gpt2() -> Any:
    return GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=64, n_layer=2, n_head=2, n_positions=16,
                                      bos_token_id=0, eos_token_id=0))  # fmt: skip


def redraw(model: Any, level: int = 0, ambient: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(ambient)
    draw_weights(model, {name for name, _ in model.named_parameters()}, Streams(0, {"init": level}))
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", CLASSES)
def test_weights_do_not_depend_on_ambient_state(name: str) -> None:
    build = CLASSES[name].build
    one, other = redraw(build(), ambient=1), redraw(build(), ambient=2)
    assert all(torch.equal(one[key], other[key]) for key in one)
    another = redraw(build(), level=1)
    drawn = [key for key, value in one.items() if value.std() > 0]
    assert all(not torch.equal(one[key], another[key]) for key in drawn)
    assert len({float(one[key].flatten()[-1]) for key in drawn}) == len(drawn)  # each has a key of its own


@pytest.mark.parametrize("name", CLASSES)
def test_the_order_of_the_draws_changes_nothing(name: str) -> None:
    whole, model = redraw(CLASSES[name].build()), CLASSES[name].build()
    parameters = list(dict(model.named_parameters()))
    half = len(parameters) // 2
    for names in (parameters[half:], parameters[:half]):
        torch.rand(7)
        draw_weights(model, set(names), Streams(0, {"init": 0}))
    assert all(torch.equal(parameter, whole[key]) for key, parameter in model.named_parameters())


def test_the_models_own_distributions_are_kept() -> None:
    """Standard deviations within 5 standard errors (sd / sqrt(2n)); a false alarm below 1e-6 per weight."""
    weights = redraw(gpt2())
    for name, expected in (("transformer.wte.weight", 0.02), ("transformer.h.0.attn.c_proj.weight", 0.02 / 4**0.5)):
        sd = float(weights[name].std())
        assert abs(sd - expected) < 5 * expected / (2 * weights[name].numel()) ** 0.5
    assert torch.equal(weights["transformer.ln_f.weight"], torch.ones(64))
    assert torch.equal(weights["transformer.h.0.mlp.c_fc.bias"], torch.zeros(256))


def test_tied_weights_stay_tied() -> None:
    model = gpt2()
    redraw(model)
    assert model.lm_head.weight is model.transformer.wte.weight


def test_a_parameters_draw_does_not_depend_on_the_others(tmp_path: Path) -> None:
    model = gpt2()
    whole = redraw(model)
    name = "transformer.h.1.mlp.c_fc.weight"
    other = gpt2()
    before = {key: parameter.detach().clone() for key, parameter in other.named_parameters()}
    draw_weights(other, {name}, Streams(0, {"init": 0}))
    after = dict(other.named_parameters())
    assert torch.equal(after[name], whole[name])
    assert all(torch.equal(after[key], before[key]) for key in before if key != name)


def test_a_new_head_is_keyed_and_pretrained_weights_are_untouched(tmp_path: Path) -> None:
    body = BertModel(BertConfig(**BERT))
    body.save_pretrained(tmp_path)
    heads = []
    for ambient in (1, 2):
        torch.manual_seed(ambient)
        model, report = BertForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
        missing = set(report["missing_keys"])
        assert missing == {"classifier.weight", "classifier.bias"}
        draw_weights(model, missing, Streams(0, {"init": 0}))
        heads.append(model.classifier.weight.detach().clone())
        for name, parameter in body.named_parameters():
            assert torch.equal(parameter, dict(model.named_parameters())[f"bert.{name}"])
    assert torch.equal(heads[0], heads[1])


def test_weight_decay_is_for_matrices_only() -> None:
    model = gpt2()
    matrices, vectors = trainable(model, 0.1)
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in vectors["params"]} == {1}
    assert matrices["weight_decay"] == 0.1
    assert vectors["weight_decay"] == 0.0
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(model.parameters()))
