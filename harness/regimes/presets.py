"""Published regimes under their names: `{name: {preset: early-dropout}}`, or just `{name: early-dropout}`.

A key beside `preset` overrides the preset's own. Where a paper's rates could not be read, the entry says so: the shape
is the paper's, the numbers are a choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A regime as a grid file would write it, where it is from, and what of it was chosen here."""

    regime: Mapping[str, Any]
    source: str
    note: str = ""


_DYNAMIC = "dynamic dropout: Yan and Shao 2024, arXiv 2411.03236"
_EARLY = "Liu et al. 2023, arXiv 2303.01500 (README of the authors' code)"
_STLM = "STLM dropout report: Hillier et al. 2024, arXiv 2409.05423 (authors' code)"
_CHOSEN = "the abstract gives no rates; these are a choice around its baseline's usual .2"
_FFN = "the authors' feed-forward output has none; `sublayer` here includes it"
_STLM_SITES = ("embedding", "attention", "sublayer")


def _stlm(rate: Any) -> dict[str, Any]:
    return dict.fromkeys(_STLM_SITES, rate)


PRESETS: dict[str, Preset] = {
    "dynamic-dropout-linear": Preset({"all": {"linear": {"start": 0.2, "end": 0.0}}}, _DYNAMIC, _CHOSEN),
    "dynamic-dropout-exponential": Preset(
        {"all": {"exponential": {"start": 0.2, "decay": 3.0}}}, _DYNAMIC, _CHOSEN
    ),
    "dynamic-dropout-validation": Preset(
        {"all": {"plateau": {"start": 0.2, "factor": 0.5, "patience": 1, "direction": "down"}}}, _DYNAMIC,
        f"{_CHOSEN}, and so are the rule and its direction",
    ),
    "early-dropout": Preset({"all": {"early": {"rate": 0.1, "until": 1 / 6, "shape": "linear"}}}, _EARLY,
                            "50 of 300 epochs"),
    "late-dropout": Preset({"all": {"late": {"rate": 0.1, "after": 1 / 6}}}, _EARLY,
                           "the README's example is late stochastic depth; rate .1 is a choice"),
    "early-stochastic-depth": Preset(
        {"stochastic_depth": {"rate": {"early": {"rate": 0.5, "until": 1 / 6, "shape": "linear"}}, "depth": "linear"}},
        _EARLY, "50 of 300 epochs",
    ),
    "late-stochastic-depth": Preset(
        {"stochastic_depth": {"rate": {"late": {"rate": 0.4, "after": 1 / 6}}, "depth": "linear"}}, _EARLY,
        "50 of 300 epochs",
    ),
    "stlm-constant": Preset(_stlm(0.1), _STLM, _FFN),
    "stlm-linear": Preset(_stlm({"linear": {"start": 0.1, "end": 0.0}}), _STLM, f"end rate chosen; {_FFN}"),
    "stlm-triangle": Preset(
        _stlm({"triangle": {"trough": 0.0, "peak": 0.1, "cycles": 4}}), _STLM, f"trough chosen; {_FFN}"
    ),
    "residual-dropout": Preset({"identity": 0.02}, "SIGUL 2024 (2024.sigul-1.35)", "its rates could not be read"),
}  # fmt: skip
