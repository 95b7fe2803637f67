"""The table `regimes`: what the regimes of a grid are, so that a report needs no grid file to know a name."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from harness.regimes.kinds import highest_rate, kind_of
from harness.regimes.regime import Regime
from harness.spec.grid import Grid, entry_name

REGIMES = ["regime", "kind", "reference", "weight_decay", "highest_rate", "definition"]


def regimes_table(grid: Grid) -> pd.DataFrame:
    """One row per regime, in the order of the grid.

    `kind` is one of `harness.regimes.kinds.KINDS`; `reference` whether the others are compared with it;
    `weight_decay` its own, NaN where it has that of the grid; `highest_rate` of any site at any step; `definition` its
    canonical JSON, with the training settings that it overrides.
    """
    usual = max(grid.training_for(entry_name(task)).weight_decay for task in grid.tasks)
    regimes = grid.parsed_regimes.values()
    rows = [_row(regime, usual) | {"reference": regime.name == grid.reference_regime} for regime in regimes]
    return pd.DataFrame(rows, columns=REGIMES)


def _row(regime: Regime, usual: float) -> dict[str, Any]:
    return {
        "regime": regime.name,
        "kind": kind_of(regime, usual),
        "weight_decay": regime.settings.get("weight_decay", math.nan),
        "highest_rate": highest_rate(regime),
        "definition": json.dumps(regime.describe() | dict(regime.settings), sort_keys=True, allow_nan=False),
    }
