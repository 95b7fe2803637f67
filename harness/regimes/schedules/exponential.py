"""Dynamic dropout: a rate that decays exponentially while training goes on."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from harness.regimes.schedules.base import Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant


@schedule("exponential")
class Exponential(Schedule):
    """From `start` down, by the factor exp(-decay) over the whole training, never below `floor`.

    The abstract of arXiv 2411.03236 (Yan and Shao 2024) names an exponential decay but its formula could not be read;
    this is the usual parameterised form.
    """

    formula: ClassVar[str] = "p_t = max(floor, start * exp(-decay * t / T))"
    source: ClassVar[str] = "dynamic dropout, exponential decay: arXiv 2411.03236 (its exact form is not known here)"

    start: Rate
    decay: Annotated[float, Field(gt=0.0, le=100.0, strict=True)] = 3.0
    floor: Rate = 0.0

    def rate(self, step: int, total: int) -> float:
        """The decayed rate at `step` of `total`."""
        return max(self.floor, self.start * math.exp(-self.decay * step / total))

    def simplest(self) -> Schedule:
        """A decay from its floor is a constant."""
        return Constant(value=self.floor) if self.start <= self.floor else self

    def zero(self) -> bool:
        """Whether it starts and stays at 0."""
        return self.start == 0.0 and self.floor == 0.0
