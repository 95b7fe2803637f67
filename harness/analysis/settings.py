"""Decoding settings as the store's tables name them, and as people read them."""

from __future__ import annotations

from typing import Any

from harness import request

SETTING = ["top_k", "temperature", "top_p", "min_p"]
GREEDY = "1"
ALL = "all"
HUMAN = request.HUMAN.label


def setting_name(top_k: str, temperature: float, top_p: float = 1.0, min_p: float = 0.0) -> str:
    """For example `k=40`, `k=all T=0.7`, `p=0.95`, `human`; what leaves the distribution as it is, is not said."""
    if top_k == HUMAN:
        return HUMAN
    parts = filters_of(top_p, min_p)
    if top_k != ALL or not parts:
        parts = [f"k={top_k}", *parts]
    return " ".join(parts if temperature == 1.0 else [*parts, f"T={temperature:g}"])


def filters_of(top_p: float, min_p: float) -> list[str]:
    """The filters beside top-k that leave something out, for example `["p=0.95"]`."""
    return ([f"p={top_p:g}"] if top_p < 1.0 else []) + ([f"min-p={min_p:g}"] if min_p > 0.0 else [])


def setting_of(row: dict[Any, Any]) -> tuple[str, float, float, float]:
    """The setting of a table's row: top_k, temperature, top_p, min_p."""
    return str(row["top_k"]), float(row["temperature"]), float(row["top_p"]), float(row["min_p"])
