from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UserError
from harness.regimes.regime import ALL_SITES, SITES, parse_regime, parse_schedule
from harness.regimes.schedules import SCHEDULES


def test_constant_is_constant() -> None:
    schedule = parse_schedule(0.25, "x")
    assert [schedule.rate(step, 10) for step in range(10)] == [0.25] * 10


@pytest.mark.parametrize(("start", "end", "until"), [(0.3, 0.0, 1.0), (0.0, 0.5, 1.0), (0.4, 0.1, 0.25)])
def test_linear_equals_interpolation_at_every_step(start: float, end: float, until: float) -> None:
    schedule = parse_schedule({"linear": {"start": start, "end": end, "until": until}}, "x")
    total = 40
    expected = np.interp(np.arange(total), [0, until * total], [start, end])
    np.testing.assert_allclose([schedule.rate(step, total) for step in range(total)], expected, atol=1e-12)


def test_a_line_without_slope_is_the_static_rate() -> None:
    flat = parse_regime("a", {"sublayer": {"linear": {"start": 0.2, "end": 0.2}}}, "x")
    assert flat.describe() == parse_regime("b", {"sublayer": 0.2}, "x").describe()


def test_all_does_not_mean_identity_and_a_named_site_wins() -> None:
    regime = parse_regime("a", {"identity": 0.02, "head": 0.5, "all": 0.1}, "x")
    assert regime.rates(0, 1) == {"embedding": 0.1, "attention": 0.1, "sublayer": 0.1, "identity": 0.02, "head": 0.5}
    assert set(ALL_SITES) == set(SITES) - {"identity"}


def test_rates_of_zero_are_no_regime() -> None:
    zero = parse_regime("a", {"all": 0, "identity": {"linear": {"start": 0.0, "end": 0.0}}}, "x")
    assert zero.zero
    assert zero.describe() == {}
    assert parse_regime("none", None, "x").zero


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"sublayer": 1.5}, r"regimes.a.sublayer: rate 1.5 is not allowed \(a rate is from 0 to 1\)"),
        ({"sublayer": -0.1}, "rate -0.1 is not allowed"),
        ({"sublayer": float("nan")}, "rate nan is not allowed"),
        ({"sublayers": 0.1}, "unknown site, did you mean 'sublayer'"),
        ({"sublayer": {"liner": {}}}, "unknown schedule, did you mean 'linear'"),
        ({"sublayer": {"linear": {"start": 0.1}}}, "regimes.a.sublayer.linear.end: Field required"),
        ({"sublayer": {"linear": {"start": 0.1, "end": 2}}}, "linear.end"),
        ({"sublayer": {"linear": {"start": 0.1, "end": 0, "until": 0}}}, "linear.until"),
        ({"sublayer": {"linear": {"begin": 0.1, "end": 0}}}, "linear"),
        ({"sublayer": True}, "must be a rate"),
        ({"sublayer": "0.1"}, "must be a rate"),
        ("0.1", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_named(raw: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_regime("a", raw, "regimes.a")


def test_every_schedule_tells_its_formula_and_source() -> None:
    assert {"constant", "linear"} <= set(SCHEDULES)
    for schedule in SCHEDULES.values():
        assert schedule.formula.startswith("p_t = ")
        assert schedule.source
