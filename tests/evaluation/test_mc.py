"""MC dropout: keyed by address alone, repeatable, without a trace, and its metrics against numbers made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toolbox import TINY

import harness.evaluation.mc as mc_module
from harness.evaluation.evaluate import evaluate
from harness.evaluation.mc import McDropout, mean_rates, summary
from harness.randomness import Streams
from harness.regimes.audit import recording
from harness.regimes.sites import install
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, start_model

pytestmark = pytest.mark.usefixtures("one_thread")
METRICS = ["mc-loss", "mc-accuracy", "mc-brier", "mc-ece", "mc-predictive-entropy", "mc-mutual-information"]


def made(tiny: Any, home: Path, rates: dict[str, float], name: str = "bert", **changes: Any) -> McDropout:
    grid = tiny(models=[{f"scratch:{name}-tiny": {**TINY, "pretrain_steps": 0}}])
    store = Store(home / "results")
    cell = expand(parse_grid(grid, "grid"), store, None).training[0]
    inputs = Worker(store).inputs(cell.problem)
    model = start_model(store, cell, inputs)
    with torch.no_grad():  # a new head is all but uniform, whatever is dropped
        for parameter in model.parameters():
            parameter.mul_(4)
    values = {"streams": Streams(7), "passes": 3, "examples": 8, **changes}
    return McDropout(sites=install(model), inputs=inputs, family=name, rates=rates, **values)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_two_calls_give_the_same_bits_and_leave_no_trace(tiny: Any, home: Path, name: str) -> None:
    mc = made(tiny, home, {"sublayer": 0.3, "attention": 0.2, "head": 0.1}, name)
    mc.sites.set({"sublayer": 0.05})
    mc.sites.model.train()
    mc.sites.model.get_submodule(mc.sites.slots[0].owner).eval()
    modes = [module.training for module in mc.sites.model.modules()]
    rates, state = mc.sites.applied(), torch.get_rng_state()
    split = mc.inputs.splits["test"]
    first = mc.metrics("test", split)
    torch.manual_seed(3)
    assert mc.metrics("test", split) == first
    torch.set_rng_state(state)
    mc.metrics("test", split)
    assert torch.equal(state, torch.get_rng_state())
    assert [module.training for module in mc.sites.model.modules()] == modes
    assert mc.sites.applied() == rates
    assert list(first) == METRICS
    assert first["mc-mutual-information"] > 0


def test_an_examples_masks_depend_on_its_address_alone(tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = made(tiny, home, {"sublayer": 0.3}, passes=2, examples=2)
    split = few.inputs.splits["test"]
    logs: list[Any] = []

    def keep(found: Any, _: Any) -> dict[str, float]:
        logs.append(found)
        return {}

    monkeypatch.setattr(mc_module, "summary", keep)
    few.metrics("test", split)
    replace(few, passes=3, examples=40).metrics("test", split)
    # The two examples are the rows 0 and 20 of all 40.
    np.testing.assert_array_equal(logs[0], logs[1][:2, [0, 20]])
    assert not np.array_equal(logs[1][0], logs[1][1])
    # One example at two places is dropped out in two ways.
    twice: Any = split
    few.metrics("test", twice.take([0, 0]))
    same = logs.pop()
    assert not np.array_equal(same[:, 0], same[:, 1])
    few.metrics("shift", split)
    replace(few, streams=Streams(7, {"mc": 1})).metrics("test", split)
    assert len({found.tobytes() for found in (logs[0], *logs[2:])}) == 3


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("site", ["embedding", "attention", "sublayer", "identity", "head"])
def test_the_rates_reach_every_call_of_their_site_and_no_other(tiny: Any, home: Path, name: str, site: str) -> None:
    mc = made(tiny, home, {site: 0.25}, name, passes=1, examples=1)
    with recording(mc.sites.model) as calls:
        mc.metrics("test", mc.inputs.splits["test"])
    owners = {slot.owner: slot.calls for slot in mc.sites.slots if slot.site == site}
    on = [call for call in calls if call.rate > 0]
    assert {call.owner for call in on} == set(owners)
    assert {call.rate for call in on} == {0.25}
    assert len(on) == sum(owners.values())


def test_without_dropout_there_is_nothing(tiny: Any, home: Path) -> None:
    mc = made(tiny, home, {"sublayer": 0.0})
    assert mc.metrics("test", mc.inputs.splits["test"]) == {}
    assert replace(mc, rates={"layerdrop": 0.5}).metrics("test", mc.inputs.splits["test"]) == {}


def test_a_vanishing_rate_is_the_plain_evaluation(tiny: Any, home: Path) -> None:
    mc = made(tiny, home, {"sublayer": 1e-12}, passes=2, examples=40)
    split = mc.inputs.splits["test"]
    plain = evaluate(mc.sites.model, split, mc.inputs, "bert", ("accuracy",)).metrics
    found = mc.metrics("test", split)
    for name in ("loss", "accuracy", "brier", "ece"):
        assert found[f"mc-{name}"] == pytest.approx(plain[name], abs=1e-5), name
    assert found["mc-mutual-information"] == pytest.approx(0, abs=1e-9)


def test_metrics_by_hand() -> None:
    # Two passes that contradict each other for example 0, and agree on (3/4, 1/4) for example 1.
    passes = np.array([[[1.0, 1e-300], [0.75, 0.25]], [[1e-300, 1.0], [0.75, 0.25]]])
    found = summary(np.log(passes), np.array([0, 0]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found["mc-loss"] == pytest.approx((math.log(2) - math.log(0.75)) / 2)
    assert found["mc-accuracy"] == 1.0  # of equals the first class is predicted
    assert found["mc-brier"] == pytest.approx((0.5 + 0.125) / 2)
    assert found["mc-predictive-entropy"] == pytest.approx((math.log(2) + entropy) / 2)
    assert found["mc-mutual-information"] == pytest.approx(math.log(2) / 2)


def test_mean_rates_weigh_each_rate_by_its_steps() -> None:
    applied = [("head", 0, 0.1), ("sublayer/0", 0, 0.4), ("sublayer/0", 6, 0.0), ("embedding", 5, 0.2)]
    assert mean_rates(applied, 10) == pytest.approx({"head": 0.1, "sublayer/0": 0.24, "embedding": 0.1})
    assert mean_rates(applied, 10)["head"] == 0.1
    # Stopped early: what was never reached does not count.
    assert mean_rates(applied, 5) == pytest.approx({"head": 0.1, "sublayer/0": 0.4})


def test_rates_by_layer_reach_their_layer(tiny: Any, home: Path) -> None:
    mc = made(tiny, home, {"sublayer/0": 0.25, "sublayer/1": 0.5}, passes=1, examples=1)
    with recording(mc.sites.model) as calls:
        mc.metrics("test", mc.inputs.splits["test"])
    assert {call.rate for call in calls if call.rate > 0} == {0.25}  # the model has one layer
