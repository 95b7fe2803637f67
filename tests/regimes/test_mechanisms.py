"""Every mechanism in every model class: nothing in eval mode, nothing at rate 0, audited, and reached by its rate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from regimes_in_place import CLASSES, FAMILIES, LAYERS, build, gradients, logits, placed, silent

from harness.errors import CellError
from harness.regimes.audit import audited, recording
from harness.regimes.mechanisms import MECHANISMS, Objective, Placed, Setting
from harness.regimes.parse import parse_regime
from harness.regimes.sites import install

RATE = 0.3


def arm(mechanism: str, rate: Any = RATE) -> dict[str, Any]:
    """A regime that uses one mechanism wherever it can be; a noise at every site that can draw it."""
    if issubclass(MECHANISMS[mechanism], Placed):
        return {mechanism: rate}
    return {site: {"rate": rate, "noise": mechanism} for site in ("embedding", "sublayer", "identity", "head")}


# Mechanisms that put something into the model; objectives and settings do not.
IN_MODEL = [name for name, one in MECHANISMS.items() if not issubclass(one, Objective | Setting)]
PLACED = [name for name in IN_MODEL if issubclass(MECHANISMS[name], Placed)]
STRUCTURAL = [name for name in PLACED if parse_regime("a", {name: 0.1}, "a").structural]
PAIRS = [
    (mechanism, model)
    for mechanism in IN_MODEL
    for model in CLASSES
    if FAMILIES[model] in (MECHANISMS[mechanism].families or FAMILIES[model])
]
NEUTRAL = [(mechanism, model) for mechanism, model in PAIRS if mechanism not in STRUCTURAL]


def test_structural_mechanisms_are_tested_against_a_block_of_their_own() -> None:
    """They change the model in eval mode and at rate 0, too, and so stand in test_structure.py."""
    assert STRUCTURAL == ["layer_norm_skip"]


@pytest.mark.parametrize(("mechanism", "name"), NEUTRAL)
def test_in_eval_mode_the_model_is_untouched(mechanism: str, name: str) -> None:
    model, sites, _ = placed(name, arm(mechanism))
    model.eval()
    plain = build(name).eval()
    expected = logits(plain)  # which draws nothing: the generator is as it was seeded
    state = torch.get_rng_state()
    for _ in range(2):
        assert torch.equal(logits(model, sites), expected)
        assert torch.equal(state, torch.get_rng_state())
    assert model.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(("mechanism", "name"), NEUTRAL)
def test_at_rate_zero_training_is_bit_equal_to_no_regime_and_draws_nothing(mechanism: str, name: str) -> None:
    model, sites, _ = placed(name, arm(mechanism, 0.0))
    plain = silent(name)
    theirs = logits(plain)  # which draws nothing: the generator is as it was seeded
    state = torch.get_rng_state()
    ours = logits(model, sites)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(ours, theirs)
    found, expected = gradients(model, ours), gradients(plain, theirs)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)


@pytest.mark.parametrize(("mechanism", "name"), PAIRS)
def test_the_audit_sees_every_carrier_and_nothing_else(mechanism: str, name: str) -> None:
    model, sites, regime = placed(name, arm(mechanism))
    declared = regime.rates(0, 1)
    drawn = set()
    for seed in range(5):  # a coin for a whole layer may well fall on the same side
        with audited(sites, declared), recording(model) as calls:
            drawn.add(float(logits(model, sites, seed).detach().sum()))
    owners = {slot.owner for slot in sites.slots if slot.site in regime.channels}
    assert {call.owner for call in calls if call.rate > 0} == owners
    assert {call.rate for call in calls} == {0.0, RATE}
    if mechanism != "mixout":  # its weights are still at their start
        assert len(drawn) > 1


@pytest.mark.parametrize(("mechanism", "name"), PAIRS)
def test_the_audit_names_a_carrier_with_another_rate_or_in_eval_mode(mechanism: str, name: str) -> None:
    model, sites, regime = placed(name, arm(mechanism))
    declared = regime.rates(0, 1)
    slots = [slot for slot in sites.slots if slot.site in regime.channels]
    for slot in slots:
        slot.module.p = 0.2
        with pytest.raises(CellError, match=rf"\({slot.site}\) has rate 0.2, declared 0.3"), audited(sites, declared):
            logits(model, sites)
        slot.module.p = RATE
        slot.module.eval()
        with pytest.raises(CellError, match=rf"{slot.owner} is in eval mode"), audited(sites, declared):
            logits(model, sites)
        slot.module.train()
    with audited(sites, declared):
        logits(model, sites)


@pytest.mark.parametrize(("mechanism", "name"), PAIRS)
def test_the_audit_names_a_carrier_that_is_never_called(mechanism: str, name: str) -> None:
    model, sites, regime = placed(name, arm(mechanism))
    slot = next(slot for slot in sites.slots if slot.site in regime.channels)
    # What the place would be given by a call that drops nothing: a coin that shows 1, or the input as it is.
    unchanged = (lambda x: torch.ones(())) if mechanism == "layerdrop" else (lambda x: x)
    slot.module.forward = unchanged  # type: ignore[method-assign]
    expected = rf"{slot.owner} \({slot.site}\) dropped 0 times, expected {slot.calls}"
    with pytest.raises(CellError, match=expected), audited(sites, regime.rates(0, 1)):
        logits(model, sites)


@pytest.mark.parametrize(("mechanism", "name"), PAIRS)
def test_a_rate_set_later_reaches_every_carrier(mechanism: str, name: str) -> None:
    model, sites, _ = placed(name, arm(mechanism))
    wanted = [site for site in arm(mechanism) if site in sites.names]
    for rate in (0.5, 0.0, 0.1):
        sites.set(dict.fromkeys(wanted, rate))
        modules = [slot.module for slot in sites.slots if slot.site in wanted]
        assert {module.p for module in modules} == {rate}
        with recording(model) as calls:
            logits(model, sites)
        assert {call.rate for call in calls} == {rate, 0.0}
        assert sites.applied() == {site: rate if site in wanted else 0.0 for site in sites.names}


@pytest.mark.parametrize(("mechanism", "name"), PAIRS)
def test_a_second_installation_is_refused(mechanism: str, name: str) -> None:
    model, _, regime = placed(name, arm(mechanism))
    with pytest.raises(CellError, match="already installed"):
        install(model, regime)


@pytest.mark.parametrize("name", CLASSES)
def test_rates_are_scaled_by_depth(name: str) -> None:
    """In every class: linear over the layers, and by a list; what lies in no layer is not scaled."""
    rate = {"constant": {"value": 0.4}}
    model, sites, regime = placed(
        name,
        {"all": {"rate": rate, "depth": "linear"}, "identity": {"rate": rate, "depth": [0.5, 0.25]},
         "drophead": {"rate": rate, "depth": [1, 0.5]}, "layerdrop": 0.4},
    )  # fmt: skip
    factors = {"attention": (0.0, 1.0), "sublayer": (0.0, 1.0), "identity": (0.5, 0.25), "drophead": (1.0, 0.5)}
    expected = {f"{site}/{layer}": 0.4 * factors[site][layer] for site in factors for layer in range(LAYERS)}
    outside: dict[str, float] = {site: 0.4 for site in ("embedding", "head", "layerdrop") if site in sites.names}
    assert sites.applied() == {**expected, **outside}
    for slot in sites.slots:
        factor = factors[slot.site][slot.layer or 0] if slot.site in factors else 1.0
        assert slot.module.p == 0.4 * factor
    with audited(sites, regime.rates(0, 1)), recording(model) as calls:
        logits(model, sites)
    assert {call.rate for call in calls} == {0.0, 0.1, 0.2, 0.4}
    next(slot for slot in sites.slots if slot.site == "sublayer" and slot.layer == 1).module.p = 0.2
    with pytest.raises(CellError, match=r"\(sublayer\) has rate 0.2, declared 0.4"), audited(sites, regime.rates(0, 1)):
        logits(model, sites)


@pytest.mark.parametrize("noise", ["gaussian", "locked"])
def test_attention_draws_its_own_noise(noise: str) -> None:
    from harness.regimes.regime import Channel, Regime

    schedule = parse_regime("a", {"attention": 0.1}, "a").channels["attention"].schedule
    with pytest.raises(CellError, match=f"site attention cannot draw {noise} noise"):
        install(build("bert-masked"), Regime("a", {"attention": Channel(schedule, noise)}))


def test_all_mechanisms_together_are_audited() -> None:
    everything: dict[str, Any] = {"all": 0.1, "identity": 0.02, "rdrop": 1.0, "label_smoothing": 0.1}
    everything["sublayer"] = {"rate": 0.1, "noise": "gaussian"}
    everything["embedding"] = {"rate": 0.1, "noise": "locked"}
    everything.update({name: 0.2 for name in PLACED if name not in STRUCTURAL})
    for name in CLASSES:
        model, sites, regime = placed(name, everything)
        with audited(sites, regime.rates(0, 1)):
            output = logits(model, sites)
        assert torch.isfinite(output).all()
        model.eval()
        assert torch.equal(logits(model, sites), logits(build(name).eval()))
