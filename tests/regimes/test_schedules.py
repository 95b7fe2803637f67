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


TOTAL = 48
# Independent closed forms, vectorised over the steps; c early steps include both ends of the line.
T = np.arange(TOTAL)
CLOSED_FORMS: dict[str, tuple[dict[str, object], np.ndarray]] = {
    "exponential": ({"start": 0.4, "decay": 2.0, "floor": 0.1}, np.fmax(0.1, 0.4 * np.e ** (-2.0 * T / TOTAL))),
    "cosine": ({"start": 0.3, "end": 0.1}, 0.2 + 0.1 * np.cos(np.linspace(0, np.pi, TOTAL + 1))[:-1]),
    "early": ({"rate": 0.3, "until": 0.25}, np.concatenate([np.linspace(0.3, 0, 12), np.zeros(36)])),
    "late": ({"rate": 0.3, "after": 0.25}, np.concatenate([np.zeros(12), np.full(36, 0.3)])),
    "triangle": (
        {"trough": 0.1, "peak": 0.5, "cycles": 2},
        np.tile(np.interp(np.arange(24), [0, 12, 24], [0.1, 0.5, 0.1]), 2),
    ),
    "curriculum": ({"end": 0.5, "gamma": 10}, 0.5 - 0.5 * np.e ** (-10 * T / TOTAL)),
    "annealed": ({"start": 0.4, "until": 0.5}, np.interp(T, [0, 24], [0.4, 0.0])),
    "piecewise": ({"rates": [0, 0.5, 0.2], "at": [0.25, 0.75]}, np.repeat([0, 0.5, 0.2], [12, 24, 12])),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_rates_equal_an_independent_closed_form_at_every_step(name: str) -> None:
    parameters, expected = CLOSED_FORMS[name]
    schedule = parse_schedule({name: parameters}, "x")
    rates = [schedule.rate(step, TOTAL) for step in range(TOTAL)]
    np.testing.assert_allclose(rates, expected, atol=1e-12)
    assert all(0.0 <= rate <= 1.0 for rate in rates)
    assert schedule.describe()[name] == {**schedule.describe()[name], **_lists(parameters)}


def _lists(parameters: dict[str, object]) -> dict[str, object]:
    return {key: pytest.approx(value) if not isinstance(value, str) else value for key, value in parameters.items()}


def test_constant_early_dropout() -> None:
    schedule = parse_schedule({"early": {"rate": 0.3, "until": 0.5, "shape": "constant"}}, "x")
    assert [schedule.rate(step, 4) for step in range(4)] == [0.3, 0.3, 0.0, 0.0]


@pytest.mark.parametrize(
    ("raw", "same"),
    [
        ({"cosine": {"start": 0.2, "end": 0.2}}, 0.2),
        ({"triangle": {"trough": 0.2, "peak": 0.2}}, 0.2),
        ({"piecewise": {"rates": [0.2, 0.2], "at": [0.5]}}, 0.2),
        ({"annealed": {"start": 0.2}}, {"linear": {"start": 0.2, "end": 0}}),
        ({"early": {"rate": 0}}, 0),
        ({"curriculum": {"end": 0}}, 0),
    ],
)
def test_the_same_rates_have_one_identity(raw: object, same: object) -> None:
    one, other = (parse_regime("a", {"head": value}, "x").describe() for value in (raw, same))
    assert one == other


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"piecewise": {"rates": [0.1, 0.2]}}, "one place fewer"),
        ({"piecewise": {"rates": [0.1, 0.2, 0.3], "at": [0.6, 0.5]}}, "must rise"),
        ({"early": {"rate": 0.1, "shape": "round"}}, r"early\.shape"),
        ({"late": {"rate": 0.1, "after": 1}}, r"late\.after"),
        ({"triangle": {"trough": 0.1, "peak": 1.2}}, r"triangle\.peak"),
    ],
)
def test_wrong_parameters_are_named(raw: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_schedule(raw, "x")
