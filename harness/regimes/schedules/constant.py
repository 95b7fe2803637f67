"""Static dropout."""

from __future__ import annotations

from typing import ClassVar

from harness.regimes.schedules.base import Rate, Schedule, schedule


@schedule("constant")
class Constant(Schedule):
    """The same value at every step; in a grid file a bare number is enough."""

    formula: ClassVar[str] = "p_t = value"
    source: ClassVar[str] = "Srivastava et al. 2014 (JMLR 15)"

    value: Rate

    def rate(self, step: int, total: int) -> float:
        """The value, whatever the step."""
        return self.value

    def zero(self) -> bool:
        """Whether the value is 0."""
        return self.value == 0.0
