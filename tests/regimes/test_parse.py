"""Regimes as a grid file writes them: the whole grammar, presets, matched arms, and one canonical form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from harness.errors import CellError, UserError
from harness.regimes.mechanisms import MECHANISMS, Noise, Objective, Placed, Setting
from harness.regimes.parse import KEYS, parse_regime, parse_regimes
from harness.regimes.presets import PRESETS
from harness.regimes.regime import ALL_SITES, SITES, Regime
from harness.regimes.schedules import SCHEDULES
from harness.regimes.schedules.matched import Matched

TENTH = {"constant": {"value": 0.1}}


def parsed(raw: Any) -> Regime:
    return parse_regime("a", raw, "regimes.a")


def test_a_rate_at_every_site_and_mechanism() -> None:
    placed = [name for name, one in MECHANISMS.items() if issubclass(one, Placed) and not one.structural]
    for name in (*SITES, *placed):
        regime = parsed({name: 0.1})
        assert regime.describe() == {name: TENTH}
        assert regime.rates(3, 9) == {**dict.fromkeys(SITES, 0.0), name: 0.1}
        assert regime.mechanisms == ((name,) if name in placed else ())
        assert not regime.zero


@pytest.mark.parametrize(
    ("raw", "described"),
    [
        ({"all": 0.1}, dict.fromkeys(ALL_SITES, TENTH)),
        ({"all": 0.1, "identity": 0}, dict.fromkeys(ALL_SITES, TENTH)),
        ({"sublayer": {"rate": 0.1}}, {"sublayer": TENTH}),
        ({"sublayer": {"rate": 0.1, "noise": "bernoulli", "depth": "uniform"}}, {"sublayer": TENTH}),
        ({"sublayer": {"rate": 0.1, "depth": [1, 1.0]}}, {"sublayer": TENTH}),
        ({"sublayer": {"rate": 0.1, "noise": "locked"}}, {"sublayer": {"rate": TENTH, "noise": "locked"}}),
        ({"layerdrop": {"rate": 0.1, "depth": [0, 1]}}, {"layerdrop": {"rate": TENTH, "depth": [0.0, 1.0]}}),
        ({"sublayer": {"linear": {"start": 0.3, "end": 0}}},
         {"sublayer": {"linear": {"start": 0.3, "end": 0.0, "until": 1.0}}}),
        ({"head": {"early": {"rate": 0.3}}}, {"head": {"early": {"rate": 0.3, "until": 0.5, "shape": "linear"}}}),
        ({"head": 0.1, "rdrop": {}}, {"head": {"constant": {"value": 0.1}}, "rdrop": {"alpha": 1.0}}),
        ({"head": 0.1, "rdrop": 0.5}, {"head": {"constant": {"value": 0.1}}, "rdrop": {"alpha": 0.5}}),
        ({"label_smoothing": 0.1}, {"label_smoothing": {"epsilon": 0.1}}),
        ({"label_smoothing": 0}, {}),
        ({"layerdrop": 0, "mixout": {"rate": 0, "depth": "linear"}}, {}),
        ({"layer_norm_skip": 0}, {"layer_norm_skip": {"constant": {"value": 0.0}}}),
        ({"weight_decay": 0.1}, {}),
        (None, {}),
    ],
)  # fmt: skip
def test_the_canonical_form(raw: Any, described: dict[str, Any]) -> None:
    assert parsed(raw).describe() == described


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"all": 0.1, "head": 0.2}, {"head": 0.2, "all": 0.1}),
        ({"all": 0.1}, dict.fromkeys(reversed(ALL_SITES), 0.1)),
        ({"mixout": 0.1, "drophead": 0.2, "rdrop": 1}, {"rdrop": {"alpha": 1.0}, "drophead": 0.2, "mixout": 0.1}),
        ({"all": {"rate": 0.1, "depth": "linear"}, "head": 0.1, "embedding": 0.1},
         {"all": {"rate": {"constant": {"value": 0.1}}, "depth": "linear"}}),
    ],
)  # fmt: skip
def test_equal_regimes_have_equal_text(one: Any, other: Any) -> None:
    assert str(parsed(one).describe()) == str(parsed(other).describe())


def test_kinds_of_keys() -> None:
    noises = {name for name, one in MECHANISMS.items() if issubclass(one, Noise)}
    assert set(KEYS) == {"all", "preset", "match", *SITES, *MECHANISMS} - noises
    regime = parsed({"weight_decay": 0.1, "label_smoothing": 0.2, "rdrop": 2, "all": 0.1})
    assert regime.settings == {"weight_decay": 0.1}
    assert list(regime.objectives) == ["label_smoothing", "rdrop"]
    assert regime.forwards == 2
    assert parsed({"all": 0.1}).forwards == 1
    assert parsed({"weight_decay": 0.1, "label_smoothing": 0.2}).zero


def test_the_skip_of_another_model_stands_in_the_identity_at_rate_0_and_draws_nothing() -> None:
    zero = parsed({"layer_norm_skip": 0.0})
    assert zero.zero
    assert zero.structural == ("layer_norm_skip",)
    assert "layer_norm_skip" in zero.unsupported("bert")
    assert zero.unsupported("gpt2") == ""


def test_every_mechanism_tells_what_it_is() -> None:
    kinds = {Noise: {"noise"}, Placed: {"structure", "weights", "input"}, Objective: {"objective"},
             Setting: {"optimiser"}}  # fmt: skip
    for name, one in MECHANISMS.items():
        assert one.name == name
        assert one.formula
        assert one.source
        assert one.__doc__
        base = next(kind for kind in kinds if issubclass(one, kind))
        assert one.kind in kinds[base]
        assert (one.unbiased is None) == (base in (Objective, Setting))


DEPTH = r"must be uniform, linear or a list of factors from 0 to 1"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"sublayr": 0.1}, r"regimes\.a\.sublayr: unknown site or mechanism, did you mean 'sublayer'\? \(allowed: "),
        ({"gaussian": 0.1}, r"regimes\.a\.gaussian: unknown site or mechanism"),
        ({3: 0.1}, r"regimes\.a\.3: unknown site or mechanism"),
        ([0.1], r"regimes\.a: must be a mapping from sites to rates, or the name of a preset, is \[0\.1\]"),
        ("erly-dropout", r"regimes\.a\.preset: unknown preset, did you mean 'early-dropout'\? \(allowed: "),
        ({"preset": ["early-dropout"]}, r"regimes\.a\.preset: unknown preset"),
        ({"sublayer": {"rate": 1.5}}, r"a\.sublayer\.rate: rate 1\.5 is not allowed \(a rate is from 0 to 1\)"),
        ({"sublayer": {"rate": 0.1, "deph": 1}}, r"sublayer\.deph: unknown key, did you mean 'depth'\?"),
        ({"sublayer": {"rate": 0.1, "noise": "gausian"}},
         r"sublayer\.noise: must be one of bernoulli, gaussian, locked, is 'gausian'"),
        ({"sublayer": {"rate": 0.1, "noise": ["gaussian"]}}, r"sublayer\.noise: must be one of bernoulli, gaussian, "),
        ({"layerdrop": {"rate": 0.1, "noise": "locked"}}, r"layerdrop\.noise: must be one of bernoulli, is 'locked'"),
        ({"attention": {"rate": 0.1, "noise": "locked"}},
         r"attention\.noise: attention kernels draw their own noise \(allowed there: bernoulli\)"),
        ({"all": {"rate": 0.1, "noise": "locked"}}, r"regimes\.a\.all\.noise: attention kernels draw their own noise"),
        ({"sublayer": {"rate": 1, "noise": "gaussian"}}, r"sublayer\.rate: Gaussian .* at rate 1 \(allowed: below 1\)"),
        ({"sublayer": {"rate": {"plateau": {"start": 0.2, "direction": "up"}}, "noise": "gaussian"}},
         r"sublayer\.rate: Gaussian .* at rate 1 \(allowed: below 1\)"),
        ({"sublayer": {"rate": 0.1, "depth": "quadratic"}}, rf"sublayer\.depth: {DEPTH}, is 'quadratic'"),
        ({"sublayer": {"rate": 0.1, "depth": []}}, rf"sublayer\.depth: {DEPTH}, is \[\]"),
        ({"sublayer": {"rate": 0.1, "depth": [0.5, 1.5]}}, rf"sublayer\.depth: {DEPTH}, is \[0\.5, 1\.5\]"),
        ({"sublayer": {"rate": 0.1, "depth": [True, 1]}}, rf"sublayer\.depth: {DEPTH}"),
        ({"head": {"rate": 0.1, "depth": "linear"}}, r"head\.depth: head lies in no layer \(allowed: uniform\)"),
        ({"token_dropout": {"rate": 0.1, "depth": [1, 0]}}, r"token_dropout\.depth: token_dropout lies in no layer"),
        ({"rdrop": None}, r"regimes\.a\.rdrop\.alpha: Input should be a valid number, is None"),
        ({"rdrop": -1}, r"rdrop\.alpha: Input should be greater than or equal to 0, is -1"),
        ({"rdrop": {"beta": 1}}, r"rdrop\.beta: .*\(allowed: alpha\), is 1"),
        ({"label_smoothing": 1}, r"label_smoothing\.epsilon: Input should be less than 1, is 1"),
        ({"label_smoothing": True}, r"label_smoothing\.epsilon: Input should be a valid number, is True"),
        ({"weight_decay": -0.1}, r"regimes\.a\.weight_decay: must be a number from 0, is -0\.1"),
        ({"weight_decay": math.nan}, r"regimes\.a\.weight_decay: must be a number from 0, is nan"),
        ({"weight_decay": math.inf}, r"regimes\.a\.weight_decay: must be a number from 0, is inf"),
        ({"weight_decay": True}, r"regimes\.a\.weight_decay: must be a number from 0, is True"),
        ({"layer_norm_skip": {"linear": {"start": 0.1, "end": 0}}},
         r"regimes\.a\.layer_norm_skip: must be a constant rate"),
        ({"layer_norm_skip": 0, "identity": 0.1}, r"regimes\.a: identity and layer_norm_skip both replace the skip"),
        ({"layerdrop": {"liner": {}}}, r"layerdrop\.liner: unknown schedule, did you mean 'linear'\?"),
        ({"layerdrop": {"matched": {"mean": 0.1}}}, r"layerdrop\.matched: unknown schedule"),
        ({"layerdrop": {"linear": 3}}, r"layerdrop\.linear: must be a mapping of parameters, is 3"),
        ({"layerdrop": {"constant": {}}}, r"layerdrop\.constant\.value: Field required"),
        ({"layerdrop": {"linear": {}, "cosine": {}}}, r"layerdrop: must be a rate from 0 to 1 or one schedule such as"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line(raw: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parsed(raw)
    assert "\n" not in str(caught.value)


def test_rates_scaled_by_depth() -> None:
    regime = parsed({"all": {"rate": 0.4, "depth": "linear"}, "layerdrop": {"rate": 0.2, "depth": [0.5, 0.0, 1]}})
    assert [regime.factor("sublayer", layer, 5) for layer in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert regime.factor("sublayer", 0, 1) == 1.0
    assert [regime.factor("layerdrop", layer, 3) for layer in range(3)] == [0.5, 0, 1]
    assert regime.factor("embedding", None, 3) == regime.factor("head", None, 3) == 1.0
    assert regime.factor("identity", 1, 3) == 1.0
    scaled = {name for name in (*SITES, "layerdrop", "mixout") if regime.scaled(name)}
    assert scaled == {"attention", "sublayer", "layerdrop"}
    assert regime.impossible(3, 10, 9) == ""
    assert regime.impossible(4, 10, 9) == "layerdrop.depth: has 3 factors, the model has 4 layers"


STLM = ("embedding", "attention", "sublayer")
PRESET_FORMS: dict[str, Any] = {
    "dynamic-dropout-linear": {"all": {"linear": {"start": 0.2, "end": 0}}},
    "dynamic-dropout-exponential": {"all": {"exponential": {"start": 0.2, "decay": 3}}},
    "dynamic-dropout-validation": {"all": {"plateau": {"start": 0.2, "factor": 0.5, "patience": 1}}},
    "early-dropout": {"all": {"early": {"rate": 0.1, "until": 1 / 6}}},
    "late-dropout": {"all": {"late": {"rate": 0.1, "after": 1 / 6}}},
    "early-stochastic-depth":
        {"stochastic_depth": {"rate": {"early": {"rate": 0.5, "until": 1 / 6}}, "depth": "linear"}},
    "late-stochastic-depth":
        {"stochastic_depth": {"rate": {"late": {"rate": 0.4, "after": 1 / 6}}, "depth": "linear"}},
    "stlm-constant": dict.fromkeys(STLM, 0.1),
    "stlm-linear": {site: {"linear": {"start": 0.1, "end": 0}} for site in STLM},
    "stlm-triangle": {site: {"triangle": {"trough": 0, "peak": 0.1, "cycles": 4}} for site in STLM},
    "residual-dropout": {"identity": 0.02},
}  # fmt: skip


def test_every_preset_is_written_out_here() -> None:
    assert set(PRESET_FORMS) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    assert PRESETS[name].source
    written = parsed(PRESET_FORMS[name]).describe()
    assert parsed(name).describe() == parsed({"preset": name}).describe() == written
    overridden = parsed({"preset": name, "embedding": 0.5, "layerdrop": 0.1})
    assert overridden.rates(0, 10)["embedding"] == 0.5
    assert overridden.describe() == {
        **written, "embedding": {"constant": {"value": 0.5}}, "layerdrop": TENTH,
    }  # fmt: skip
    assert parsed(name).describe() == written  # the override left the preset as it was


# For every schedule that no loss drives: a shape that is not a constant.
SHAPES: dict[str, dict[str, Any]] = {
    "annealed": {"start": 0.3, "until": 0.7},
    "constant": {"value": 0.3},
    "cosine": {"start": 0.3, "end": 0.05},
    "curriculum": {"end": 0.3},
    "early": {"rate": 0.3, "until": 0.5},
    "exponential": {"start": 0.3, "decay": 2, "floor": 0.02},
    "late": {"rate": 0.3, "after": 0.7},
    "linear": {"start": 0.05, "end": 0.3, "until": 0.5},
    "piecewise": {"rates": [0.1, 0.3, 0], "at": [0.2, 0.6]},
    "triangle": {"trough": 0.02, "peak": 0.3, "cycles": 3},
}


def matched(shape: Any, more: Mapping[str, Any] | None = None, control: Any = 0.1) -> dict[str, Regime]:
    """A constant arm `still`, and the arm `moving` that is matched to it."""
    moving = {"sublayer": shape, "match": {"mean-rate": "still"}, **(more or {})}
    return parse_regimes({"moving": moving, "still": {"sublayer": control}})


def test_every_schedule_that_no_loss_drives_can_be_matched() -> None:
    assert set(SHAPES) == {name for name, schedule in SCHEDULES.items() if not schedule.driven}


@pytest.mark.parametrize("total", [7, 100, 1001])
@pytest.mark.parametrize("name", SHAPES)
def test_a_matched_arm_has_the_mean_rate_and_the_shape(name: str, total: int) -> None:
    regime = matched({name: SHAPES[name]})["moving"]
    rates = [regime.rates(step, total)["sublayer"] for step in range(total)]
    assert abs(math.fsum(rates) / total - 0.1) < 1e-12
    shape = parsed({"sublayer": {name: SHAPES[name]}})
    own = [shape.rates(step, total)["sublayer"] for step in range(total)]
    scale = max(rates) / max(own)
    assert rates == pytest.approx([scale * rate for rate in own], abs=1e-12)
    assert regime.impossible(2, total, 9) == ""


def test_a_constant_arm_that_is_matched_is_its_control() -> None:
    regimes = matched(0.3)
    assert regimes["moving"].describe() == regimes["still"].describe()
    assert not regimes["moving"].matched


def test_a_matched_arm_has_an_identity_of_its_own() -> None:
    regime = matched({"linear": SHAPES["linear"]})["moving"]
    shape = {"linear": {"start": 0.05, "end": 0.3, "until": 0.5}}
    assert regime.describe() == {"sublayer": {"matched": {"shape": shape, "mean": 0.1}}}
    assert regime.matched
    zero = matched({"linear": SHAPES["linear"]}, control=0.0)["moving"]
    assert zero.zero
    assert zero.describe() == {}
    assert zero.rates(3, 9)["sublayer"] == 0.0
    assert zero.impossible(2, 9, 9) == ""


def test_one_rate_per_site_for_lists_needs_no_number_of_steps() -> None:
    curriculum = matched({"curriculum": {"end": 0.3}}, {"layerdrop": 0})["moving"]
    assert curriculum.headline() == {**dict.fromkeys(SITES, 0.0), "sublayer": 0.1, "layerdrop": 0.0}
    assert parsed({"sublayer": {"linear": {"start": 0.3, "end": 0}}}).headline()["sublayer"] == 0.3


def test_match_keeps_the_order_of_the_arms_and_all_else() -> None:
    regimes = parse_regimes({"b": {"sublayer": {"rate": {"linear": {"start": 0.2, "end": 0}}, "noise": "gaussian"},
                                   "rdrop": 1, "match": {"mean-rate": "a"}}, "a": {"sublayer": 0.1}})  # fmt: skip
    assert list(regimes) == ["b", "a"]
    assert regimes["b"].name == "b"
    assert regimes["b"].channels["sublayer"].noise == "gaussian"
    assert regimes["b"].forwards == 2


@pytest.mark.parametrize(
    ("regimes", "message"),
    [
        ({"x": {"preset": "dynamic-dropout-validation", "match": {"mean-rate": "c"}}},
         r"regimes\.x\.match: the mean rate of plateau is not known before the run \(embedding\)"),
        ({"x": {"all": 0.1, "match": {"mean-rate": "d"}}}, r"regimes\.x\.match\.mean-rate: .*\(allowed: c, moving\)"),
        ({"x": {"all": 0.1, "match": {"mean-rate": ["c"]}}}, r"regimes\.x\.match\.mean-rate: no such regime"),
        ({"x": {"all": 0.1, "match": "c"}}, r"regimes\.x\.match: must be \{mean-rate: ARM\}, is 'c'"),
        ({"x": {"all": 0.1, "match": {"mean": "c"}}}, r"regimes\.x\.match: must be \{mean-rate: ARM\}"),
        ({"x": {"sublayer": 0.1, "match": {"mean-rate": "moving"}}},
         r"regimes\.x\.match\.mean-rate: regime 'moving' has no constant rate at sublayer"),
        ({"x": {"all": 0.1, "identity": 0.1, "match": {"mean-rate": "c"}}},
         r"regime 'c' has no constant rate at identity"),
        ({"x": {"all": {"rate": 0.1, "depth": "linear"}, "match": {"mean-rate": "c"}}},
         r"regime 'c' scales attention by depth in another way"),
        # The other way round a site of the control would be left without dropout: the dose would differ after all.
        ({"x": {"sublayer": {"linear": SHAPES["linear"]}, "match": {"mean-rate": "c"}}},
         r"regimes\.x\.match\.mean-rate: regime 'c' has a rate at embedding, here it is 0"),
        ({"x": {"all": {"linear": SHAPES["linear"]}, "head": 0, "match": {"mean-rate": "c"}}},
         r"regime 'c' has a rate at head, here it is 0"),
        ({"x": {"all": 0.1, "match": {"mean-rate": "y"}}, "y": {"all": 0.3, "match": {"mean-rate": "c"}}},
         r"regimes\.x\.match\.mean-rate: no such regime, or one that is matched itself"),
        ({"x": {"all": 0.1, "match": {"mean-rate": "x"}}}, "matched itself"),
    ],
)  # fmt: skip
def test_a_match_that_cannot_be_is_refused(regimes: Any, message: str) -> None:
    others = {"c": {"all": 0.1}, "moving": {"sublayer": {"linear": {"start": 0.2, "end": 0}}}}
    with pytest.raises(UserError, match=message) as caught:
        parse_regimes({**others, **regimes})
    assert "\n" not in str(caught.value)


def test_a_mean_that_would_need_a_rate_above_1_is_impossible() -> None:
    early = {"early": {"rate": 0.3, "until": 0.1, "shape": "constant"}}
    assert matched(early, control=0.1)["moving"].impossible(2, 100, 9) == ""
    assert max(matched(early, control=0.1)["moving"].rates(step, 100)["sublayer"] for step in range(100)) == 1.0
    too_much = matched(early, control=0.11)["moving"]
    expected = "a mean rate of 0.11 cannot be matched: early would need a rate of 1.1 (a rate is from 0 to 1)"
    assert too_much.impossible(2, 100, 9) == f"sublayer: {expected}"
    with pytest.raises(CellError, match=r"would need a rate of 1\.1 "):
        too_much.rates(0, 100)


def test_a_shape_without_any_rate_is_impossible() -> None:
    """Two steps and an end at .1: no step is early."""
    regime = matched({"early": {"rate": 0.3, "until": 0.1}})["moving"]
    assert "early is 0 at all 2 steps" in regime.impossible(2, 2, 9)
    schedule = regime.channels["sublayer"].schedule
    assert isinstance(schedule, Matched)
    with pytest.raises(CellError, match="early is 0 at all 2 steps"):
        schedule.rate(0, 2)


@pytest.mark.parametrize("raw", [{}, {"mixout": 0.5}, {"layerdrop": 0.2}, {"all": 0}])
def test_r_drop_needs_a_dropout_that_its_two_passes_do_not_share(raw: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"a\.rdrop: its two passes share their weights and layers"):
        parse_regime("a", {**raw, "rdrop": 1.0}, "a")
    assert parse_regime("a", {**raw, "head": 0.1, "rdrop": 1.0}, "a").forwards == 2


def test_a_plateau_that_cannot_move_is_impossible() -> None:
    regime = parse_regime("a", {"head": {"plateau": {"start": 0.3, "patience": 2}}}, "a")
    assert "plateau with patience 2 cannot move: 2 validations before the last step" in regime.impossible(2, 300, 2)
    assert regime.impossible(2, 300, 3) == ""


def test_gaussian_noise_that_a_match_scales_to_rate_1_is_impossible() -> None:
    shape = {"rate": {"triangle": {"trough": 0, "peak": 0.2}}, "noise": "gaussian"}
    regimes = parse_regimes({"c": {"sublayer": 0.5}, "g": {"sublayer": shape, "match": {"mean-rate": "c"}}})
    assert "Gaussian noise has no finite variance at rate 1" in regimes["g"].impossible(2, 80, 9)


def test_factors_of_0_are_no_dropout() -> None:
    zero = parse_regime("a", {"sublayer": {"rate": 0.2, "depth": [0, 0]}}, "a")
    assert zero.zero
    assert zero.describe() == {}


def test_numbers_that_yaml_reads_as_text_are_numbers() -> None:
    regime = parse_regime("a", {"all": "1e-1", "weight_decay": "1e-2", "label_smoothing": "1e-1"}, "a")
    assert regime.rates(0, 1)["head"] == 0.1
    assert regime.settings == {"weight_decay": 0.01}
    for key in ("all", "weight_decay", "label_smoothing"):
        with pytest.raises(UserError, match=key):
            parse_regime("a", {key: 10**400}, "a")
