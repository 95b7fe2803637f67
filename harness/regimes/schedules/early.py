"""Early dropout: only while training is young."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.regimes.schedules.base import Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant


@schedule("early")
class Early(Schedule):
    """Dropout in the first `until` of all steps, then none: against under-fitting.

    The linear shape goes from `rate` to 0 over the c early steps and includes both ends, as the authors' code does.
    """

    formula: ClassVar[str] = "p_t = rate * (1 - t / (c - 1)) (linear) or rate (constant) for t < c = until * T, else 0"
    source: ClassVar[str] = "early dropout: Liu et al. 2023, arXiv 2303.01500 (their code)"

    peak: Annotated[Rate, Field(alias="rate")]
    until: Annotated[float, Field(gt=0.0, le=1.0, strict=True)] = 0.5
    shape: Literal["linear", "constant"] = "linear"

    def rate(self, step: int, total: int) -> float:
        """The rate at `step` of `total`."""
        early = round(self.until * total)
        if step >= early:
            return 0.0
        return self.peak if self.shape == "constant" or early == 1 else self.peak * (1.0 - step / (early - 1))

    def simplest(self) -> Schedule:
        """A constant shape that never ends is a constant."""
        return Constant(value=self.peak) if self.until == 1.0 and self.shape == "constant" else self

    def zero(self) -> bool:
        """Whether the rate is 0."""
        return self.peak == 0.0
