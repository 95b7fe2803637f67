"""What the carriers draw: the dropped share at the right unit, the mean, the variance, and one mask per sequence.

Exact binomial tests at 1e-5 each; a mean of n draws is compared with the eval output element by element, at 5.5
standard errors (3.8e-8 each under the normal approximation). Every test's seed is fixed; over other seeds all tests of
this file together raise a false alarm in fewer than 1 of 500.
"""

from __future__ import annotations

import pytest
import torch
from regimes_in_place import CLASSES, HEADS, LAYERS, batch, build, logits, placed
from scipy import stats
from torch import Tensor

from harness.regimes.anatomy import Slot
from harness.regimes.parse import parse_regime
from harness.regimes.sites import Sites, install

RATE, DRAWS = 0.3, 3000
NOISY_SITES = ("embedding", "sublayer", "identity", "head")
ALPHA = 1e-5


def slots(sites: Sites, site: str) -> list[Slot]:
    return [slot for slot in sites.slots if slot.site == site]


def share_is(dropped: Tensor, rate: float = RATE) -> None:
    """Exact binomial test of a boolean tensor."""
    assert dropped.numel() >= 300
    assert stats.binomtest(int(dropped.sum()), dropped.numel(), rate).pvalue > ALPHA


def mean_is(draws: Tensor, expected: Tensor) -> None:
    """Compares the mean over dimension 0 with what is expected; the standard error is the sample's."""
    error = draws.std(dim=0) / len(draws) ** 0.5
    assert (error > 0).all()
    assert ((draws.mean(dim=0) - expected).abs() / error).max() < 5.5


def one_example(shape: tuple[int, ...]) -> Tensor:
    """Values away from 0, so that a 0 is a dropped one: [DRAWS, *shape], every example the same."""
    values = 1.0 + torch.rand(shape, generator=torch.Generator().manual_seed(5))
    return values.expand(DRAWS, *shape)


@pytest.mark.parametrize("noise", ["bernoulli", "gaussian", "locked"])
@pytest.mark.parametrize("name", CLASSES)
def test_the_expected_output_of_a_site_is_its_eval_output(name: str, noise: str) -> None:
    raw = {site: {"rate": RATE, "noise": noise} for site in NOISY_SITES}
    _, sites, _ = placed(name, raw)
    torch.manual_seed(11)
    for site in (site for site in NOISY_SITES if site in sites.names):
        last = slots(sites, site)[-1].module
        x = one_example((8,) if site == "head" else (3, 8))
        mean_is(last(x), last.eval()(x)[0])
        assert torch.equal(last(x), x)


@pytest.mark.parametrize("site", NOISY_SITES)
@pytest.mark.parametrize("name", ["bert-classification", "distilbert-classification", "gpt2-classification"])
def test_bernoulli_drops_elements_at_the_rate_and_rescales_the_others(name: str, site: str) -> None:
    _, sites, _ = placed(name, {site: RATE})
    torch.manual_seed(12)
    x = one_example((3, 8))
    for slot in slots(sites, site):
        y = slot.module(x)
        share_is(y == 0)
        torch.testing.assert_close(y[y != 0], (x / (1 - RATE))[y != 0])


@pytest.mark.parametrize("site", NOISY_SITES)
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_gaussian_multipliers_have_mean_1_and_the_variance_of_bernoulli_ones(site: str, rate: float) -> None:
    """Normal test of the mean, chi-square test of the variance, Kolmogorov-Smirnov test of the shape: 1e-5 each."""
    _, sites, _ = placed("bert-classification", {site: {"rate": rate, "noise": "gaussian"}})
    torch.manual_seed(13)
    x = one_example((2, 4))
    factors = (slots(sites, site)[0].module(x) / x).flatten().double()
    n, variance = factors.numel(), rate / (1 - rate)
    z = float((factors.mean() - 1) * (n / variance) ** 0.5)
    assert abs(z) < stats.norm.isf(ALPHA / 2)
    chi = float((n - 1) * factors.var() / variance)
    assert stats.chi2.isf(1 - ALPHA / 2, n - 1) < chi < stats.chi2.isf(ALPHA / 2, n - 1)
    assert stats.kstest(factors.numpy(), "norm", args=(1, variance**0.5)).pvalue > ALPHA


@pytest.mark.parametrize("name", ["roberta-classification", "gpt2-classification"])
@pytest.mark.parametrize("site", NOISY_SITES)
def test_a_locked_mask_is_one_per_example_and_unit(name: str, site: str) -> None:
    _, sites, _ = placed(name, {site: {"rate": RATE, "noise": "locked"}})
    torch.manual_seed(14)
    x = one_example((5, 8))
    y = slots(sites, site)[-1].module(x)
    dropped = y == 0
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    share_is(dropped[:, 0])
    assert len({tuple(row.tolist()) for row in dropped[:, 0]}) > 50  # each example has its own
    torch.testing.assert_close(y[~dropped], (x / (1 - RATE))[~dropped])


@pytest.mark.parametrize("name", ["bert-classification", "gpt2-language"])
def test_a_locked_mask_is_locked_inside_the_model(name: str) -> None:
    model, sites, _ = placed(name, {"embedding": {"rate": 0.5, "noise": "locked"}})
    seen: list[Tensor] = []
    slots(sites, "embedding")[0].module.register_forward_hook(lambda _, __, output: seen.append(output == 0))
    logits(model)
    assert seen[0].shape == (4, 9, 32)
    assert torch.equal(seen[0], seen[0][:, :1].expand_as(seen[0]))
    assert 0 < int(seen[0].sum()) < seen[0].numel()


@pytest.mark.parametrize("name", CLASSES)
def test_stochastic_depth_drops_a_sublayer_of_an_example_and_rescales_it(name: str) -> None:
    _, sites, _ = placed(name, {"stochastic_depth": RATE})
    torch.manual_seed(15)
    x = one_example((3, 8))
    assert len(slots(sites, "stochastic_depth")) == 2 * LAYERS
    for end in slots(sites, "sublayer"):  # whose output passes through it
        y = end.module(x)
        dropped = (y == 0).all(dim=(1, 2))
        share_is(dropped)
        torch.testing.assert_close(y[~dropped], (x / (1 - RATE))[~dropped])
        mean_is(y, x[0])


@pytest.mark.parametrize("name", CLASSES)
def test_drophead_drops_heads_of_an_example_and_rescales_by_what_is_left(name: str) -> None:
    _, sites, _ = placed(name, {"drophead": RATE})
    torch.manual_seed(16)
    x = one_example((3, 8))
    for slot in slots(sites, "drophead"):
        y = slot.module(x)
        heads = y.view(DRAWS, 3, HEADS, -1) == 0
        gone = heads.all(dim=(1, 3))
        assert torch.equal(heads, gone[:, None, :, None].expand_as(heads))
        share_is(gone)
        left = (~gone).sum(dim=1)
        factor = torch.where(left > 0, HEADS / left.clamp(min=1), torch.zeros(()))
        expected = x.view(DRAWS, 3, HEADS, -1) * (~gone * factor[:, None])[:, None, :, None]
        torch.testing.assert_close(y, expected.view(x.shape))
        mean_is(y, (1 - RATE**HEADS) * x[0])


@pytest.mark.parametrize("name", CLASSES)
def test_drophead_acts_on_the_heads_of_each_attention(name: str) -> None:
    """What the output projection reads is 0 in whole heads."""
    model, sites, _ = placed(name, {"drophead": 0.5})
    modules = dict(model.named_modules())
    inputs: list[Tensor] = []
    for slot in slots(sites, "drophead"):
        projection = modules[slot.owner.rpartition(".")[0]]
        projection.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    logits(model, sites, rows=32)
    assert len(inputs) == LAYERS
    for read in inputs:
        gone = (read.view(32, 9, HEADS, -1) == 0).all(dim=(1, 3))
        assert 0 < int(gone.sum()) < gone.numel()
        assert (read.view(32, 9, HEADS, -1).permute(0, 2, 1, 3)[~gone] != 0).all()


@pytest.mark.parametrize("name", ["electra-masked", "gpt2-classification"])
def test_layerdrop_tosses_one_coin_per_layer_and_forward(name: str) -> None:
    """Through the model: 250 forwards of two layers."""
    model, sites, _ = placed(name, {"layerdrop": RATE})
    tossed: list[Tensor] = []
    for slot in slots(sites, "layerdrop"):
        slot.module.register_forward_hook(lambda _, __, output: tossed.append(output))
    with torch.no_grad():
        for seed in range(250):
            logits(model, sites, seed, rows=1)
    coins = torch.stack(tossed).view(250, LAYERS)
    assert set(coins.flatten().tolist()) == {0.0, 1.0}
    share_is(coins == 0)
    both = int(((coins == 0).all(dim=1)).sum())  # independent layers: .09
    assert stats.binomtest(both, 250, RATE**2).pvalue > ALPHA


@pytest.mark.parametrize("name", CLASSES)
def test_token_dropout_hides_tokens_one_by_one_and_spares_special_ones(name: str) -> None:
    model, _, _ = placed(name, {"token_dropout": RATE})
    words = model.get_input_embeddings()
    ids = batch(1, 12).inputs["input_ids"].repeat(500, 1)
    ids[:, 3] = ids[:, 4]  # the same word twice
    special = torch.zeros(12, dtype=torch.bool)
    special[[0, -1]] = True
    torch.manual_seed(17)
    with torch.no_grad():
        found = words(ids)
        full = words.eval()(ids)
        words.train()
    hidden = (found == 0).all(dim=-1)
    assert not hidden[:, special].any()
    share_is(hidden[:, ~special])
    assert torch.equal(found[~hidden], full[~hidden])  # nothing is rescaled
    # A word is hidden here and not there: tokens, not types, and each example its own.
    assert stats.binomtest(int((hidden[:, 3] & hidden[:, 4]).sum()), 500, RATE**2).pvalue > ALPHA
    assert len({tuple(row.tolist()) for row in hidden}) > 100


def test_token_dropout_spares_padding_and_every_end() -> None:
    model = build("gpt2-language")
    model.config.eos_token_id, model.config.bos_token_id = [7, 8], 9
    sites = install(model, parse_regime("a", {"token_dropout": 1.0}, "a"))
    sites.set({"token_dropout": 1.0})
    ids = torch.arange(40)[None]
    hidden = (model.get_input_embeddings()(ids) == 0).all(dim=-1)[0]
    assert (~hidden).nonzero().flatten().tolist() == [0, 1, 2, 7, 8, 9]


def test_token_dropout_of_a_model_without_special_tokens_hides_all() -> None:
    model = build("gpt2-language")
    for name in ("pad", "bos", "eos", "cls", "sep"):
        setattr(model.config, f"{name}_token_id", None)
    install(model, parse_regime("a", {"token_dropout": 1.0}, "a")).set({"token_dropout": 1.0})
    assert not model.get_input_embeddings()(torch.arange(40)[None]).any()


@pytest.mark.parametrize("name", ["gpt2-classification", "gpt2-language"])
def test_the_plain_mask_of_the_layer_norm_skip_has_the_eval_scale_as_its_mean(name: str) -> None:
    _, sites, _ = placed(name, {"layer_norm_skip": RATE})
    torch.manual_seed(20)
    x = one_example((3, 8))
    for slot in slots(sites, "layer_norm_skip"):
        y = slot.module(x)
        share_is(y == 0)
        torch.testing.assert_close(y[y != 0], x[y != 0])
        slot.module.eval()
        torch.testing.assert_close(slot.module(x), 0.7 * x)
        mean_is(y, slot.module(x)[0])
