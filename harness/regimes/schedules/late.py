"""Late dropout: only once training is old."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from harness.regimes.schedules.base import Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant


@schedule("late")
class Late(Schedule):
    """No dropout in the first `after` of all steps, then `rate`: against over-fitting."""

    formula: ClassVar[str] = "p_t = 0 for t < after * T, else rate"
    source: ClassVar[str] = "late dropout: Liu et al. 2023, arXiv 2303.01500 (their code)"

    peak: Annotated[Rate, Field(alias="rate")]
    after: Annotated[float, Field(ge=0.0, lt=1.0, strict=True)] = 0.5

    def rate(self, step: int, total: int) -> float:
        """The rate at `step` of `total`."""
        return self.peak if step >= round(self.after * total) else 0.0

    def simplest(self) -> Schedule:
        """After nothing it is a constant."""
        return Constant(value=self.peak) if self.after == 0.0 else self

    def zero(self) -> bool:
        """Whether the rate is 0."""
        return self.peak == 0.0
