"""Dynamic dropout: a rate that moves linearly while training goes on."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from harness.regimes.schedules.base import Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant


@schedule("linear")
class Linear(Schedule):
    """From `start` to `end` over the first `until` of all optimiser steps, then `end`.

    The abstract of arXiv 2411.03236 (Yan and Shao 2024) names a linear decay but its formula could not be read;
    this is the usual parameterised form.
    """

    formula: ClassVar[str] = "p_t = start + (end - start) * min(1, t / (until * T))"
    source: ClassVar[str] = "dynamic dropout, linear decay: arXiv 2411.03236 (its exact form is not known here)"

    start: Rate
    end: Rate
    until: Annotated[float, Field(gt=0.0, le=1.0, strict=True)] = 1.0

    def rate(self, step: int, total: int) -> float:
        """The interpolated rate at `step` of `total`."""
        return self.start + (self.end - self.start) * min(1.0, step / (self.until * total))

    def simplest(self) -> Schedule:
        """A line without slope is a constant."""
        return Constant(value=self.start) if self.start == self.end else self
