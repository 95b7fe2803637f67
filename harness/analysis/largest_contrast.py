"""Names of the fixed effects, their range, and the largest contrast between their levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.analysis.blocks import Setting
from harness.analysis.complete import Complete
from harness.analysis.fixed import Estimate, contrast
from harness.analysis.mean_squares import Fixed, Floats
from harness.analysis.settings import setting_name

REGIME, SETTING, TOP_K = "regime", "setting", "top_k"


def fixed_name(axes: Fixed, settings: Sequence[Setting]) -> str:
    """The name of fixed axes: regime, top_k (setting where more than k varies), both."""
    second = TOP_K if len({setting[1:] for setting in settings}) == 1 else SETTING
    return " x ".join((REGIME, second)[axis] for axis in axes)


def grid_range(table: Complete, sampled: bool) -> str:
    """What the fixed effects range over, for example `k 1 to all; regimes none, standard-0.1`."""
    parts = _settings_range(table.settings) if sampled else []
    return "; ".join([*parts, f"regimes {', '.join(table.regimes)}"])


def _settings_range(settings: Sequence[Setting]) -> list[str]:
    k = list(dict.fromkeys(setting[0] for setting in settings))
    found = [f"k {k[0]} to {k[-1]}" if len(k) > 1 else f"k {k[0]}"]
    for place, name, plain in ((1, "T", 1.0), (2, "p", 1.0), (3, "min-p", 0.0)):
        numbers = sorted({float(setting[place]) for setting in settings})
        if len(numbers) > 1:
            found.append(f"{name} {numbers[0]:g} to {numbers[-1]:g}")
        elif numbers != [plain]:
            found.append(f"{name} {numbers[0]:g}")
    return [", ".join(found)]


def largest(axes: Fixed, values: Floats, table: Complete) -> dict[str, Any]:
    """The columns of the largest contrast of a fixed effect.

    Of a main effect: the largest minus the smallest of its level means. Of the interaction: how much the contrast of
    the two extreme settings differs between the two regimes that differ most in it.

    Args:
        axes: of the effect, with at least two levels each.
        values: [regimes, settings, training, prompts, levels].
        table: names the levels.
    """
    if len(axes) == 1:
        found, what = _main(axes[0], values, table)
    else:
        found, what = _interaction(values, table)
    return {"contrast": found.value, "contrast_low": found.low, "contrast_high": found.high, "contrast_what": what}


def _main(axis: int, values: Floats, table: Complete) -> tuple[Estimate, str]:
    scores = values.mean(axis=1 - axis)
    low, high = _extremes(scores.mean(axis=(1, 2, 3)))
    names = [table.regimes, [setting_name(*setting) for setting in table.settings]][axis]
    return contrast(scores[high] - scores[low], _pairs(len(scores))), f"{names[high]} - {names[low]}"


def _interaction(values: Floats, table: Complete) -> tuple[Estimate, str]:
    low, high = _extremes(values.mean(axis=(0, 2, 3, 4)))
    scores = values[:, high] - values[:, low]
    less, more = _extremes(scores.mean(axis=(1, 2, 3)))
    pairs = _pairs(len(table.regimes)) * _pairs(len(table.settings))
    between = f"({setting_name(*table.settings[high])} - {setting_name(*table.settings[low])})"
    what = f"{between} of {table.regimes[more]} - {between} of {table.regimes[less]}"
    return contrast(scores[more] - scores[less], pairs), what


def _extremes(means: Floats) -> tuple[int, int]:
    """Places of the smallest and the largest; where all are equal the first two, so that they differ."""
    low, high = int(np.argmin(means)), int(np.argmax(means))
    return (low, high) if low != high else (1, 0)


def _pairs(levels: int) -> int:
    return levels * (levels - 1) // 2
