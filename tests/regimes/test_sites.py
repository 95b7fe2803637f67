"""Sites of real model classes: rates reach the kernels, the identity branch is what the paper says, nothing hides."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy import stats
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
)

from harness.errors import CellError
from harness.regimes.audit import audited, recording
from harness.regimes.regime import SITES
from harness.regimes.sites import install

BERT = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
GPT2 = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 32, "pad_token_id": 0,
        "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
CLASSES = {
    "bert-classification": (BertForSequenceClassification, BertConfig, BERT),
    "bert-masked": (BertForMaskedLM, BertConfig, BERT),
    "gpt2-classification": (GPT2ForSequenceClassification, GPT2Config, GPT2),
    "gpt2-language": (GPT2LMHeadModel, GPT2Config, GPT2),
}


def build(name: str, attention: str = "sdpa", **changes: Any) -> Any:
    cls, config, values = CLASSES[name]
    torch.manual_seed(0)
    made = config(**values, **changes)
    made._attn_implementation = attention
    return cls(made)


def tokens(rows: int = 4, length: int = 9) -> torch.Tensor:
    return torch.randint(1, 40, (rows, length), generator=torch.Generator().manual_seed(1))


def logits(model: Any) -> torch.Tensor:
    torch.manual_seed(3)
    output: torch.Tensor = model(tokens()).logits
    return output


@pytest.mark.parametrize("name", CLASSES)
def test_sites_of_each_class(name: str) -> None:
    sites = install(build(name))
    head = () if name in ("gpt2-language", "bert-masked") else ("head",)
    assert set(sites.names) == {*(site for site in SITES if site != "head"), *head}
    per_layer = {"attention": 1, "sublayer": 2, "identity": 2}
    for site, count in per_layer.items():
        assert sum(slot.site == site for slot in sites.slots) == 2 * count


@pytest.mark.parametrize("name", CLASSES)
def test_installing_overrides_the_configuration_and_leaves_the_state_dict(name: str) -> None:
    rates = {"hidden_dropout_prob": 0.4} if "bert" in name else {"resid_pdrop": 0.4, "attn_pdrop": 0.4}
    model = build(name, **rates)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    install(model)
    assert all(module.p == 0.0 for module in model.modules() if isinstance(module, nn.Dropout))
    assert model.state_dict().keys() == before.keys()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("site", SITES)
def test_a_rate_reaches_its_site_and_only_it(name: str, attention: str, site: str) -> None:
    model = build(name, attention)
    sites = install(model)
    model.train()
    if site not in sites.names:
        with pytest.raises(CellError, match=f"no site {site}"):
            sites.set({site: 0.5})
        return
    plain = logits(model)
    for rate in (0.5, 0.25):  # a change on the fly reaches it too
        sites.set({site: rate})
        with recording(model) as calls:
            dropped = logits(model)
        owners = {slot.owner for slot in sites.slots if slot.site == site}
        assert {call.owner for call in calls if call.rate > 0} == owners
        assert {call.rate for call in calls if call.rate > 0} == {rate}
        assert not torch.equal(plain, dropped)
        with audited(sites, {site: rate}):
            logits(model)
    sites.set({})
    assert torch.equal(plain, logits(model))


@pytest.mark.parametrize("name", CLASSES)
def test_in_eval_mode_two_passes_are_equal(name: str) -> None:
    model = build(name)
    plain = build(name)
    sites = install(model)
    sites.set(dict.fromkeys(sites.names, 0.5))
    model.eval()
    plain.eval()
    state = torch.get_rng_state()
    one, two = model(tokens()).logits, model(tokens()).logits
    assert torch.equal(one, two)
    assert torch.equal(one, plain(tokens()).logits)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", CLASSES)
def test_rate_zero_is_bit_equal_to_no_regime_and_draws_nothing(name: str) -> None:
    zero = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0} if "bert" in name else {
        "resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}  # fmt: skip
    model, plain = build(name), build(name, **zero)
    install(model)
    model.train()
    plain.train()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert torch.equal(model(tokens()).logits, plain(tokens()).logits)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", ["bert-classification", "gpt2-language"])
@pytest.mark.parametrize("site", ["embedding", "sublayer", "identity"])
def test_the_dropped_share_is_the_rate(name: str, site: str) -> None:
    """Exact binomial test per site at 1e-4: six of them raise a false alarm in at most 6 of 10,000 seeds; seed 3."""
    model = build(name)
    sites = install(model)
    model.train()
    sites.set({site: 0.3})
    slot = next(slot for slot in sites.slots if slot.site == site)
    seen: list[tuple[int, int]] = []

    def count(_: nn.Module, args: tuple[torch.Tensor], output: torch.Tensor) -> None:
        alive = args[0] != 0
        seen.append((int(((output == 0) & alive).sum()), int(alive.sum())))

    slot.module.register_forward_hook(count)
    logits(model)
    dropped, total = seen[0]
    assert total > 1000
    assert stats.binomtest(dropped, total, 0.3).pvalue > 1e-4


def test_bert_identity_dropout_equals_an_explicit_block() -> None:
    model = build("bert-classification")
    sites = install(model)
    model.train()
    sites.set({"identity": 0.3})
    output = model.bert.encoder.layer[0].attention.output
    f, x = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    torch.manual_seed(8)
    ours = output(f, x)
    torch.manual_seed(8)
    mask = nn.functional.dropout(torch.ones_like(x), 0.3)
    assert torch.equal(ours, output.LayerNorm(output.dense(f) + mask * x))


def test_gpt2_identity_dropout_equals_an_explicit_block() -> None:
    model = build("gpt2-language")
    sites = install(model)
    model.train()
    sites.set({"identity": 0.3})
    block = model.transformer.h[0]
    x = torch.randn(2, 5, 32, requires_grad=True)
    torch.manual_seed(8)
    ours = block(x)
    ours.sum().backward()
    gradient = x.grad.clone()
    x.grad = None
    torch.manual_seed(8)
    first = nn.functional.dropout(torch.ones_like(x), 0.3)
    second = nn.functional.dropout(torch.ones_like(x), 0.3)
    sites.set({})
    middle = first * x + block.attn(block.ln_1(x))[0]
    explicit = second * middle + block.mlp(block.ln_2(middle))
    explicit.sum().backward()
    torch.testing.assert_close(ours, explicit, atol=5e-6, rtol=0)
    torch.testing.assert_close(gradient, x.grad, atol=5e-5, rtol=0)


def test_identity_dropout_is_unbiased_at_its_site() -> None:
    """Mean of 4,000 draws of drop(x): with p = .3 its standard error is .0104 |x|; 5 of them: false alarm 3e-5."""
    dropout = nn.Dropout(0.3)
    x = torch.full((4000, 50), 2.0)
    torch.manual_seed(0)
    error = (dropout(x).mean(dim=0) - 2.0).abs().max()
    assert error < 5 * 2.0 * (0.3 / 0.7 / 4000) ** 0.5


def test_installing_twice_is_refused() -> None:
    model = build("gpt2-language")
    install(model)
    with pytest.raises(CellError, match="already installed"):
        install(model)


def test_a_family_that_is_not_known_is_refused() -> None:
    with pytest.raises(CellError, match="no dropout sites are known for model type 'none'"):
        install(nn.Linear(2, 2))
