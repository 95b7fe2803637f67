"""What is read off stored learning curves when tables are built: a new target needs no retraining."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

STEPS_TO_LOSS = "steps-to-loss-"


def steps_to_loss(history: pd.DataFrame, targets: Sequence[float]) -> pd.DataFrame:
    """The first evaluation at which the validation loss is at most each target.

    The resolution is the distance between evaluations (`training.evaluate_every`); the loss is that over the whole
    validation split.

    Args:
        history: one cell's learning curves (step, metric, value); step counts the optimiser steps that are finished.
        targets: losses in nats; equal ones count once.

    Returns:
        A row (split, metric, value) a target, value in optimiser steps; NaN where the target was never reached.

    Raises:
        ValueError: there is no evaluation: "never reached" would be untrue.
    """
    curve = history[history["metric"] == "validation.loss"]
    if targets and curve.empty:
        raise ValueError("steps_to_loss: the cell was never evaluated while it trained")
    values = {f"{STEPS_TO_LOSS}{target:.15g}": _first_step(curve, target) for target in targets}
    rows = [("validation", metric, step) for metric, step in values.items()]
    return pd.DataFrame(rows, columns=["split", "metric", "value"])


def _first_step(curve: pd.DataFrame, target: float) -> float:
    reached = curve.loc[curve["value"] <= target, "step"]
    return float(reached.min()) if len(reached) else math.nan
