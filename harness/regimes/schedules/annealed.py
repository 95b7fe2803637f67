"""Annealed dropout: from a high rate to none."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from harness.regimes.schedules.base import Rate, Schedule, schedule
from harness.regimes.schedules.linear import Linear


@schedule("annealed")
class Annealed(Schedule):
    """From `start` to 0 over the first `until` of all steps; the same rates as a linear decay to 0."""

    formula: ClassVar[str] = "p_t = start * max(0, 1 - t / (until * T))"
    source: ClassVar[str] = "annealed dropout: Rennie et al. 2014 (abstract; the linear form is from memory)"

    start: Rate
    until: Annotated[float, Field(gt=0.0, le=1.0, strict=True)] = 1.0

    def rate(self, step: int, total: int) -> float:
        """The rate at `step` of `total`."""
        return self.start * max(0.0, 1.0 - step / (self.until * total))

    def simplest(self) -> Schedule:
        """It is a linear decay under another name: equal cells have one identity."""
        return Linear(start=self.start, end=0.0, until=self.until).simplest()
