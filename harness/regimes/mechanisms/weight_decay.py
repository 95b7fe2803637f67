"""Weight decay as an arm: the alternative where dropout is skipped."""

from __future__ import annotations

from typing import ClassVar

from harness.regimes.mechanisms.base import Setting, mechanism


@mechanism("weight_decay")
class WeightDecay(Setting):
    """Overrides `training.weight_decay` for one arm, so that "none + weight decay" stands beside dropout."""

    formula: ClassVar[str] = "w <- w - learning_rate * weight_decay * w (decoupled, on matrices)"
    source: ClassVar[str] = "AdamW: Loshchilov and Hutter 2019, arXiv 1711.05101"
