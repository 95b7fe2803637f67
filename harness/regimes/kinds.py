"""Of which kind a regime is: what the claims about regimes are declared for. No torch."""

from __future__ import annotations

from harness.errors import CellError
from harness.regimes.mechanisms import MECHANISMS
from harness.regimes.regime import Channel, Regime
from harness.regimes.schedules.constant import Constant
from harness.regimes.schedules.matched import Matched

NONE, WEIGHT_DECAY, OTHER = "none", "weight-decay", "other"
STATIC, DYNAMIC, EARLY, LATE = "static", "dynamic", "early", "late"
RESIDUAL, STRUCTURED = "residual", "structured"
# Kinds that are dropout and nothing else.
DROPOUT = (STATIC, DYNAMIC, EARLY, LATE, RESIDUAL, STRUCTURED)
# kind -> what it is. A regime of which several hold is of the first, in this order.
KINDS: dict[str, str] = {
    NONE: "no dropout, and nothing else that the other arms do not do",
    WEIGHT_DECAY: "no dropout, but a weight decay above that of the grid",
    OTHER: "something beside dropout: another objective or weight decay, noise on inputs or weights, another skip",
    EARLY: "a rate that ends early (schedule early), at whatever site",
    LATE: "a rate that starts late (schedule late), at whatever site",
    RESIDUAL: "dropout on the skip branch (identity, layer_norm_skip)",
    STRUCTURED: "whole heads, sub-layers or layers are dropped (drophead, stochastic_depth, layerdrop)",
    DYNAMIC: "a rate that moves in another way than early and late",
    STATIC: "constant rates at embedding, attention, sublayer or head",
}
SKIP = ("identity", "layer_norm_skip")


def kind_of(regime: Regime, weight_decay: float) -> str:
    """The kind of a regime, one of `KINDS`; sites and mechanisms at rate 0 do not count.

    Args:
        regime: as the grid declares it.
        weight_decay: what the other arms have; where tasks differ, the highest.
    """
    acting = {name: channel for name, channel in regime.channels.items() if not channel.zero()}
    own = regime.settings.get("weight_decay", weight_decay)
    if not acting and not regime.structural and not regime.objectives:
        return NONE if own == weight_decay else WEIGHT_DECAY if own > weight_decay else OTHER
    if not acting or regime.objectives or own != weight_decay or any(map(_beside_dropout, acting)):
        return OTHER
    shapes = {_shape(channel) for channel in acting.values()}
    if shapes & {EARLY, LATE}:
        return EARLY if EARLY in shapes else LATE
    if any(name in SKIP for name in acting):
        return RESIDUAL
    if any(name in MECHANISMS for name in acting):
        return STRUCTURED
    return STATIC if shapes == {Constant.name} else DYNAMIC


def highest_rate(regime: Regime) -> float:
    """The highest rate of any site or mechanism at any step; 0 where there is none, NaN where it cannot be told."""
    try:
        return max((channel.schedule.highest() for channel in regime.channels.values()), default=0.0)
    except CellError:  # a matched schedule whose peak depends on the steps
        return float("nan")


def _beside_dropout(name: str) -> bool:
    """Whether it is a mechanism that drops nothing of the network itself."""
    return name in MECHANISMS and MECHANISMS[name].kind != "structure"


def _shape(channel: Channel) -> str:
    schedule = channel.schedule
    return schedule.shape.name if isinstance(schedule, Matched) else schedule.name
