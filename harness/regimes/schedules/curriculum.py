"""Curriculum dropout: a rate that rises while training goes on."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from harness.regimes.schedules.base import Rate, Schedule, schedule


@schedule("curriculum")
class Curriculum(Schedule):
    """From 0 towards `end`, fast first; `gamma` is in units of 1 / T.

    In the source's terms the retention falls from 1 to theta = 1 - end; its usual gamma is 10 / T.
    """

    formula: ClassVar[str] = "p_t = end * (1 - exp(-gamma * t / T))"
    source: ClassVar[str] = "curriculum dropout: Morerio et al. 2017 (ICCV; their code)"

    end: Rate
    gamma: Annotated[float, Field(gt=0.0, le=1000.0, strict=True)] = 10.0

    def rate(self, step: int, total: int) -> float:
        """The rate at `step` of `total`."""
        return self.end * (1.0 - math.exp(-self.gamma * step / total))

    def zero(self) -> bool:
        """Whether the rate never rises."""
        return self.end == 0.0
