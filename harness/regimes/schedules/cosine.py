"""Dynamic dropout along half a cosine."""

from __future__ import annotations

import math
from typing import ClassVar

from harness.regimes.schedules.base import Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant


@schedule("cosine")
class Cosine(Schedule):
    """From `start` to `end`, flat at both ends; the shape of Loshchilov and Hutter's learning rates."""

    formula: ClassVar[str] = "p_t = end + (start - end) * (1 + cos(pi * t / T)) / 2"
    source: ClassVar[str] = "shape of SGDR's learning rates (arXiv 1608.03983), as a dropout rate a choice of twodice"

    start: Rate
    end: Rate

    def rate(self, step: int, total: int) -> float:
        """The rate on the half wave at `step` of `total`."""
        return self.end + (self.start - self.end) * 0.5 * (1.0 + math.cos(math.pi * step / total))

    def simplest(self) -> Schedule:
        """A wave without height is a constant."""
        return Constant(value=self.start) if self.start == self.end else self
