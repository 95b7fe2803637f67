"""Of which kind a regime is."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.regimes.kinds import DROPOUT, KINDS, SKIP, highest_rate, kind_of
from harness.regimes.mechanisms import MECHANISMS
from harness.regimes.parse import parse_regimes
from harness.regimes.presets import PRESETS

EARLY = {"early": {"rate": 0.3, "until": 0.5}}
LATE = {"late": {"rate": 0.3, "after": 0.5}}


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({}, "none"),
        ({"all": 0.0}, "none"),
        ({"weight_decay": 0.01}, "none"),
        ({"weight_decay": 0.3}, "weight-decay"),
        ({"weight_decay": 0.0}, "other"),
        ({"all": 0.1}, "static"),
        ({"sublayer": {"rate": 0.1, "depth": "linear"}}, "static"),
        ({"sublayer": {"rate": 0.1, "noise": "gaussian"}}, "static"),
        ({"all": 0.1, "weight_decay": 0.01}, "static"),
        ({"all": 0.1, "weight_decay": 0.3}, "other"),
        ({"all": {"linear": {"start": 0.3, "end": 0.0}}}, "dynamic"),
        ({"attention": 0.1, "sublayer": {"linear": {"start": 0.3, "end": 0.0}}}, "dynamic"),
        ({"all": EARLY}, "early"),
        ({"all": LATE}, "late"),
        ({"stochastic_depth": {"rate": EARLY}}, "early"),
        ({"all": 0.1, "identity": 0.02}, "residual"),
        ({"attention": 0.2, "layer_norm_skip": 0.025}, "residual"),
        ({"attention": 0.2, "layer_norm_skip": 0.0}, "static"),
        ({"layer_norm_skip": 0.0}, "other"),
        ({"drophead": 0.2}, "structured"),
        ({"all": 0.1, "layerdrop": 0.2}, "structured"),
        ({"token_dropout": 0.1}, "other"),
        ({"mixout": 0.5}, "other"),
        ({"label_smoothing": 0.1}, "other"),
        ({"all": 0.1, "rdrop": 1.0}, "other"),
    ],
)
def test_kind(raw: dict[str, Any], kind: str) -> None:
    assert kind_of(parse_regimes({"arm": raw})["arm"], weight_decay=0.01) == kind


def test_a_matched_shape_is_of_the_kind_of_its_shape() -> None:
    regimes = parse_regimes({"control": {"all": 0.1}, "arm": {"all": EARLY, "match": {"mean-rate": "control"}}})
    assert kind_of(regimes["arm"], 0.01) == "early"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_dropout(name: str) -> None:
    assert kind_of(parse_regimes({"arm": {"preset": name}})["arm"], 0.01) in DROPOUT


def test_kinds_are_described_and_skips_exist() -> None:
    assert set(DROPOUT) < set(KINDS)
    assert all(name == "identity" or name in MECHANISMS for name in SKIP)


@pytest.mark.parametrize(
    ("raw", "rate"),
    [({}, 0.0), ({"all": 0.1, "identity": 0.2}, 0.2), ({"all": {"linear": {"start": 0.3, "end": 0.0}}}, 0.3)],
)
def test_highest_rate(raw: dict[str, Any], rate: float) -> None:
    assert math.isclose(highest_rate(parse_regimes({"arm": raw})["arm"]), rate)
