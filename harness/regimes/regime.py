"""A regime: for every dropout site a rate schedule. Parsed from a grid file; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.errors import UserError, nearest
from harness.regimes.schedules import SCHEDULES, Schedule

# site -> what it is; the order is the one in which tables list them.
SITES: dict[str, str] = {
    "embedding": "the sum of the embeddings, before the first block",
    "attention": "attention probabilities",
    "sublayer": "output of each sub-layer before the addition (Vaswani et al. 2017; BERT hidden, GPT-2 resid)",
    "identity": "the skip branch itself (Residual Dropout, SIGUL 2024: y = drop(x) + f(x))",
    "head": "the input of the classifier",
}
# `identity` is not in `all`: it is another method, and its rates live on another scale.
ALL_SITES = ("embedding", "attention", "sublayer", "head")


@dataclass(frozen=True)
class Regime:
    """Rate schedules by site. A site that is not named has rate 0, whatever the model's configuration says."""

    name: str
    schedules: Mapping[str, Schedule]

    def rates(self, step: int, total: int) -> dict[str, float]:
        """The rate of every site at one optimiser step."""
        return {site: self.schedules[site].rate(step, total) if site in self.schedules else 0.0 for site in SITES}

    @property
    def zero(self) -> bool:
        """No dropout at all: the mask role then decides nothing."""
        return all(schedule.zero() for schedule in self.schedules.values())

    def for_sites(self, sites: tuple[str, ...]) -> Regime:
        """The part of this regime that acts on a model with these sites (a language model has no head)."""
        return Regime(self.name, {site: schedule for site, schedule in self.schedules.items() if site in sites})

    def describe(self) -> dict[str, Any]:
        """Canonical form for a cell's identity: equal rates give equal text, zero sites are left out."""
        return {
            site: self.schedules[site].describe()
            for site in SITES
            if site in self.schedules and not self.schedules[site].zero()
        }


def parse_regime(name: str, raw: Any, where: str) -> Regime:
    """A regime from the mapping of a grid file, for example `{all: 0.1, identity: {linear: {start: .1, end: 0}}}`.

    Raises:
        UserError: an unknown site or schedule, or a rate outside 0..1.
    """
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise UserError(f"{where}: must be a mapping from sites to rates, is {raw!r}")
    schedules: dict[str, Schedule] = {}
    # `all` first, so that a named site overrides it wherever it stands in the file.
    for site in sorted(raw, key=lambda key: key != "all"):
        if site != "all" and site not in SITES:
            raise UserError(f"{where}.{site}: unknown site{nearest(str(site), ['all', *SITES])}")
        parsed = parse_schedule(raw[site], f"{where}.{site}").simplest()
        schedules.update(dict.fromkeys(ALL_SITES if site == "all" else (site,), parsed))
    return Regime(name, schedules)


def parse_schedule(raw: Any, where: str) -> Schedule:
    """A schedule from a bare rate or `{name: {parameters}}`.

    Raises:
        UserError: an unknown schedule or parameter, or a rate outside 0..1.
    """
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        raw = {"constant": {"value": float(raw)}}
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
        raise UserError(f"{where}.{name}.{key}: {first['msg']}{hint}, is {parameters.get(key)!r}") from None


def _plain(value: Any) -> Any:
    """A whole number of a grid file is a rate too (0, 1), and a list a tuple; nothing else is converted."""
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
