"""Rate schedules: each against an independent closed form, or a brute-force simulation where losses drive it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.errors import UserError
from harness.regimes.parse import parse_regime, parse_schedule
from harness.regimes.regime import ALL_SITES, SITES
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
        ({"sublayers": 0.1}, "unknown site or mechanism, did you mean 'sublayer'"),
        ({"sublayer": {"liner": {}}}, "unknown schedule, did you mean 'linear'"),
        ({"sublayer": {"linear": {"start": 0.1}}}, "regimes.a.sublayer.linear.end: Field required"),
        ({"sublayer": {"linear": {"start": 0.1, "end": 2}}}, "linear.end"),
        ({"sublayer": {"linear": {"start": 0.1, "end": 0, "until": 0}}}, "linear.until"),
        ({"sublayer": {"linear": {"begin": 0.1, "end": 0}}}, "linear"),
        ({"sublayer": True}, "must be a rate"),
        ({"sublayer": "0.1"}, "must be a rate"),
        ("0.1", "regimes.a.preset: unknown preset"),
        (0.1, "regimes.a: must be a mapping from sites to rates, or the name of a preset, is 0.1"),
    ],
)
def test_what_is_wrong_is_named(raw: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_regime("a", raw, "regimes.a")


def test_every_schedule_tells_its_formula_and_source() -> None:
    for name, schedule in SCHEDULES.items():
        assert schedule.name == name
        assert schedule.formula.startswith("p <- " if schedule.driven else "p_t = ")
        assert schedule.source
        assert schedule.__doc__


TOTAL = 48
# Independent closed forms, vectorised over the steps; c early steps include both ends of the line.
T = np.arange(TOTAL)
CLOSED_FORMS: dict[str, tuple[dict[str, Any], np.ndarray[Any, Any]]] = {
    "constant": ({"value": 0.25}, np.full(TOTAL, 0.25)),
    "linear": ({"start": 0.4, "end": 0.1, "until": 0.75}, np.interp(T, [0, 36], [0.4, 0.1])),
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


def test_every_schedule_has_an_independent_form_here() -> None:
    driven = {name for name, schedule in SCHEDULES.items() if schedule.driven}
    assert set(CLOSED_FORMS) == set(SCHEDULES) - driven
    assert set(SIMULATIONS) == driven


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_rates_equal_an_independent_closed_form_at_every_step(name: str) -> None:
    parameters, expected = CLOSED_FORMS[name]
    schedule = parse_schedule({name: parameters}, "x")
    rates = [schedule.rate(step, TOTAL) for step in range(TOTAL)]
    np.testing.assert_allclose(rates, expected, atol=1e-12)
    assert all(0.0 <= rate <= 1.0 for rate in rates)
    assert [schedule.rate_after(step, TOTAL, [3.0, 2.0]) for step in range(TOTAL)] == rates
    described: Any = schedule.describe()[name]
    assert {key: described[key] for key in parameters} == {key: pytest.approx(v) for key, v in parameters.items()}


def simulated_plateau(
    losses: list[float], start: float, factor: float, patience: int, min_delta: float, direction: str,
    floor: float = 0.0, ceiling: float = 1.0,
) -> list[float]:  # fmt: skip
    """The rate after each number of validations, without a running state: validation i is a miss where it is not
    below the lowest of all before it by `min_delta`; a run of misses is cut into moves of `patience`.
    """
    rates = [start]
    for count in range(1, len(losses) + 1):
        seen = losses[:count]
        better = [i == 0 or seen[i] < min(seen[:i]) - min_delta for i in range(count)]
        lengths = "".join("b" if one else "m" for one in better).split("b")
        moves = sum(len(run) // patience for run in lengths)
        rate = start
        for _ in range(moves):
            rate = max(floor, rate * factor) if direction == "down" else min(ceiling, rate / factor)
        rates.append(rate)
    return rates


SIMULATIONS: dict[str, Any] = {"plateau": simulated_plateau}


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("min_delta", [0.0, 0.125])
def test_plateau_equals_a_brute_force_simulation(direction: str, patience: int, min_delta: float) -> None:
    parameters = {"start": 0.4, "factor": 0.5, "patience": patience, "min_delta": min_delta, "direction": direction}
    schedule = parse_schedule({"plateau": {**parameters, "floor": 0.1, "ceiling": 0.9}}, "x")
    generator = np.random.default_rng(3)
    moved = set()
    for _ in range(40):
        # Multiples of 1/8 with a downward drift: ties and differences of exactly `min_delta` are frequent.
        losses = (np.maximum(0, 40 - np.arange(20) + generator.integers(-3, 4, 20)) / 8).tolist()
        expected = simulated_plateau(losses, **parameters, floor=0.1, ceiling=0.9)  # type: ignore[arg-type]
        assert [schedule.rate_after(7, TOTAL, losses[:count]) for count in range(21)] == expected
        moved |= set(expected)
    assert len(moved) >= 3  # it moved, and reached its bound


def test_plateau_by_hand() -> None:
    down = parse_schedule({"plateau": {"start": 0.4, "factor": 0.5, "patience": 2, "floor": 0.15}}, "x")
    losses = [1.0, 1.0, 0.9, 0.95, 0.9, 0.91, 0.92, 2.0, 2.0]
    rates = [down.rate_after(0, 1, losses[:count]) for count in range(len(losses) + 1)]
    assert rates == [0.4, 0.4, 0.4, 0.4, 0.4, 0.2, 0.2, 0.15, 0.15, 0.15]
    up = parse_schedule({"plateau": {"start": 0.2, "patience": 1, "direction": "up", "ceiling": 0.5}}, "x")
    assert [up.rate_after(0, 1, [1.0] * count) for count in range(5)] == [0.2, 0.2, 0.4, 0.5, 0.5]


def test_plateau_counts_small_steps_as_misses_even_where_they_add_up() -> None:
    schedule = parse_schedule({"plateau": {"start": 0.4, "patience": 2, "min_delta": 0.1}}, "x")
    assert schedule.rate_after(0, 1, [1.0, 0.94, 0.88]) == 0.2
    assert schedule.rate_after(0, 1, [1.0, 0.94, 0.83]) == 0.4


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
        ({"exponential": {"start": 0.2, "floor": 0.2}}, 0.2),
        ({"late": {"rate": 0.2, "after": 0}}, 0.2),
        ({"early": {"rate": 0.2, "until": 1, "shape": "constant"}}, 0.2),
        ({"plateau": {"start": 0.2, "floor": 0.2}}, 0.2),
        ({"plateau": {"start": 0.2, "ceiling": 0.2, "direction": "up"}}, 0.2),
        ({"late": {"rate": 0}}, 0),
        ({"exponential": {"start": 0}}, 0),
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
        ({"triangle": {"trough": 0.1, "peak": 0.2, "cycles": True}}, r"triangle\.cycles: must be a whole number"),
        ({"plateau": {"start": 0}}, r"plateau\.start: .* greater than 0, is 0"),
        ({"plateau": {"start": 0.2, "floor": 0.3}}, "`start` must lie between `floor` and `ceiling`"),
        ({"plateau": {"start": 0.2, "factor": 1}}, r"plateau\.factor"),
        ({"plateau": {"start": 0.2, "patience": 0}}, r"plateau\.patience"),
        ({"plateau": {"start": 0.2, "patience": "2"}}, r"plateau\.patience: must be a whole number, is '2'"),
        ({"plateau": {"start": 0.2, "direction": "both"}}, r"plateau\.direction: .* 'down' or 'up', is 'both'"),
    ],
)
def test_wrong_parameters_are_named(raw: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_schedule(raw, "x")
