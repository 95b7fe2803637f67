"""Regimes as a grid file writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError, nearest
from harness.regimes.mechanisms import MECHANISMS, Noise, Objective, Placed, Setting
from harness.regimes.presets import PRESETS
from harness.regimes.regime import ALL_SITES, BERNOULLI, OUTSIDE_LAYERS, SITES, UNIFORM, Channel, Regime
from harness.regimes.schedules import SCHEDULES, Schedule
from harness.regimes.schedules.constant import Constant
from harness.regimes.schedules.matched import Matched

# YAML 1.1 reads 1e-4 (no point) as text; everyone means the number.
SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")
PLACED = tuple(name for name, one in MECHANISMS.items() if issubclass(one, Placed))
NOISES = tuple(name for name, one in MECHANISMS.items() if issubclass(one, Noise))
KEYS = ("all", *SITES, *(name for name in MECHANISMS if name not in NOISES), "preset", "match")


def parse_regimes(raw: Mapping[str, Any]) -> dict[str, Regime]:
    """All regimes of a grid, in its order; `match` refers to another of them.

    Raises:
        UserError: see `parse_regime`; a match that names no constant arm.
    """
    regimes = {name: parse_regime(name, value, f"regimes.{name}") for name, value in raw.items()}
    wanted = {name: value["match"] for name, value in raw.items() if isinstance(value, dict) and "match" in value}
    controls = {name: regime for name, regime in regimes.items() if name not in wanted}
    return {
        name: _matched(regime, wanted[name], controls, f"regimes.{name}.match") if name in wanted else regime
        for name, regime in regimes.items()
    }


def parse_regime(name: str, raw: Any, where: str) -> Regime:
    """One regime, for example `{all: 0.1, identity: {linear: {start: .1, end: 0}}, label_smoothing: 0.1}`.

    Raises:
        UserError: an unknown key, schedule or preset, a rate outside 0..1, or parts that exclude each other.
    """
    raw = {} if raw is None else {"preset": raw} if isinstance(raw, str) else raw
    if not isinstance(raw, dict):
        raise UserError(f"{where}: must be a mapping from sites to rates, or the name of a preset, is {raw!r}")
    if "preset" in raw:
        raw = {**_preset(raw["preset"], f"{where}.preset"), **raw}
    for key in raw:
        if key not in KEYS:
            raise UserError(f"{where}.{key}: unknown site or mechanism{nearest(str(key), list(KEYS))}")
    channels: dict[str, Channel] = {}
    # `all` first, so that a named site overrides it wherever it stands in the file.
    for key in sorted(raw, key=lambda key: key != "all"):
        if key == "all" or key in SITES or key in PLACED:
            sites = ALL_SITES if key == "all" else (key,)
            channels.update({site: _channel(site, raw[key], f"{where}.{key}") for site in sites})
    objectives = {key: _objective(key, raw[key], f"{where}.{key}") for key in raw if _is(key, Objective)}
    objectives = {key: one for key, one in objectives.items() if not one.idle()}
    settings = {key: _setting(raw[key], f"{where}.{key}") for key in raw if _is(key, Setting)}
    if "layer_norm_skip" in channels and "identity" in channels:
        raise UserError(f"{where}: identity and layer_norm_skip both replace the skip; give one")
    if "rdrop" in objectives and all(one.zero() or site in ("mixout", "layerdrop") for site, one in channels.items()):
        raise UserError(
            f"{where}.rdrop: its two passes share their weights and layers; it needs dropout of another kind"
        )
    return Regime(name, channels, objectives, settings)


def _is(key: str, kind: type) -> bool:
    return key in MECHANISMS and issubclass(MECHANISMS[key], kind)


def _preset(name: Any, where: str) -> dict[str, Any]:
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"{where}: unknown preset{nearest(str(name), list(PRESETS))}")
    return dict(PRESETS[name].regime)


def _channel(site: str, raw: Any, where: str) -> Channel:
    """A rate, a schedule, or `{rate: ..., noise: ..., depth: ...}`."""
    if not (isinstance(raw, dict) and "rate" in raw):
        return _checked(site, Channel(parse_schedule(raw, where).simplest()), where)
    unknown = [key for key in raw if key not in ("rate", "noise", "depth")]
    if unknown:
        raise UserError(f"{where}.{unknown[0]}: unknown key{nearest(str(unknown[0]), ['rate', 'noise', 'depth'])}")
    schedule = parse_schedule(raw["rate"], f"{where}.rate").simplest()
    noise = raw.get("noise", BERNOULLI)
    if noise != BERNOULLI and (noise not in NOISES or site in PLACED):
        allowed = BERNOULLI if site in PLACED else ", ".join((BERNOULLI, *NOISES))
        raise UserError(f"{where}.noise: must be one of {allowed}, is {noise!r}")
    return _checked(site, Channel(schedule, noise, _depth(site, raw.get("depth", UNIFORM), where)), where)


def _depth(site: str, raw: Any, where: str) -> tuple[float, ...] | str:
    factors = isinstance(raw, list) and bool(raw) and all(_is_rate(factor) for factor in raw)
    if not factors and raw not in (UNIFORM, "linear"):
        raise UserError(f"{where}.depth: must be uniform, linear or a list of factors from 0 to 1, is {raw!r}")
    if raw == UNIFORM or (factors and all(factor == 1 for factor in raw)):
        return UNIFORM
    if site not in OUTSIDE_LAYERS:
        return tuple(float(factor) for factor in raw) if factors else "linear"
    if not where.endswith(".all"):  # which reaches these sites too
        raise UserError(f"{where}.depth: {site} lies in no layer (allowed: {UNIFORM})")
    return UNIFORM


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 1.0


def _checked(site: str, channel: Channel, where: str) -> Channel:
    if site == "attention" and channel.noise != BERNOULLI:
        raise UserError(f"{where}.noise: attention kernels draw their own noise (allowed there: {BERNOULLI})")
    if channel.noise == "gaussian" and channel.schedule.highest() >= 1.0:
        raise UserError(f"{where}.rate: Gaussian noise has no finite variance at rate 1 (allowed: below 1)")
    placed = MECHANISMS.get(site)
    if placed and issubclass(placed, Placed) and placed.structural and not isinstance(channel.schedule, Constant):
        raise UserError(f"{where}: must be a constant rate: evaluation depends on it")
    return channel


def _objective(name: str, raw: Any, where: str) -> Objective:
    cls = MECHANISMS[name]
    assert issubclass(cls, Objective)
    values = raw if isinstance(raw, dict) else {cls.short: raw}
    try:
        return cls.model_validate({key: _plain(value) for key, value in values.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        hint = nearest(key, list(cls.model_fields)) if first["type"] == "extra_forbidden" else ""
        raise UserError(f"{where}.{key}: {first['msg']}{hint}, is {values.get(key)!r}") from None


def _setting(raw: Any, where: str) -> float:
    raw = _plain(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0.0 <= raw < float("inf"):
        raise UserError(f"{where}: must be a number from 0, is {raw!r}")
    return float(raw)


def _matched(regime: Regime, raw: Any, controls: Mapping[str, Regime], where: str) -> Regime:
    """The regime with every schedule scaled to the rate of a constant arm at the same site."""
    if not isinstance(raw, dict) or list(raw) != ["mean-rate"]:
        raise UserError(f"{where}: must be {{mean-rate: ARM}}, is {raw!r}")
    if not isinstance(raw["mean-rate"], str) or raw["mean-rate"] not in controls:
        hint = nearest(str(raw["mean-rate"]), list(controls))
        raise UserError(f"{where}.mean-rate: no such regime, or one that is matched itself{hint}")
    control = controls[raw["mean-rate"]]
    for name, target in control.channels.items():
        if not target.schedule.zero() and (name not in regime.channels or regime.channels[name].schedule.zero()):
            raise UserError(f"{where}.mean-rate: regime '{control.name}' has a rate at {name}, here it is 0")
    channels = {name: _matched_channel(name, one, control, where) for name, one in regime.channels.items()}
    return replace(regime, channels=channels)


def _matched_channel(name: str, channel: Channel, control: Regime, where: str) -> Channel:
    target = control.channels.get(name)
    if target is None and channel.schedule.zero():
        return channel
    if target is None or not isinstance(target.schedule, Constant):
        raise UserError(f"{where}.mean-rate: regime '{control.name}' has no constant rate at {name}")
    if channel.schedule.driven:
        raise UserError(f"{where}: the mean rate of {channel.schedule.name} is not known before the run ({name})")
    if target.depth != channel.depth:
        raise UserError(f"{where}.mean-rate: regime '{control.name}' scales {name} by depth in another way")
    if isinstance(channel.schedule, Constant):
        return replace(channel, schedule=target.schedule)
    return replace(channel, schedule=Matched(shape=channel.schedule, mean=target.schedule.value))


def parse_schedule(raw: Any, where: str) -> Schedule:
    """A schedule from a bare rate or `{name: {parameters}}`.

    Raises:
        UserError: an unknown schedule or parameter, or a rate outside 0..1.
    """
    raw = _plain(raw)
    if isinstance(raw, float):
        raw = {"constant": {"value": raw}}
    if not isinstance(raw, dict) or len(raw) != 1:
        raise UserError(f"{where}: must be a rate from 0 to 1 or one schedule such as {{linear: ...}}, is {raw!r}")
    name, parameters = next(iter(raw.items()))
    if name not in SCHEDULES:
        raise UserError(f"{where}.{name}: unknown schedule{nearest(str(name), sorted(SCHEDULES))}")
    if not isinstance(parameters, dict):
        raise UserError(f"{where}.{name}: must be a mapping of parameters, is {parameters!r}")
    try:
        return SCHEDULES[name].model_validate({key: _plain(value) for key, value in parameters.items()})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if name == "constant" and set(parameters) == {"value"}:
            raise UserError(f"{where}: rate {parameters['value']!r} is not allowed (a rate is from 0 to 1)") from None
        hint = nearest(key, list(SCHEDULES[name].model_fields)) if first["type"] == "extra_forbidden" else ""
        problem = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{where}.{name}.{key}: {problem}{hint}, is {parameters.get(key)!r}") from None


def _plain(value: Any) -> Any:
    """A whole number is a rate too (0, 1), 1e-2 is a number, and a list a tuple; nothing else is converted."""
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    if isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return float(value) if abs(value) < 2**63 else math.inf
