"""Cyclic dropout."""

from __future__ import annotations

from typing import ClassVar

from harness.regimes.schedules.base import Count, Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant


@schedule("triangle")
class Triangle(Schedule):
    """Up from `trough` to `peak` over half a cycle and down again, `cycles` times over the training."""

    formula: ClassVar[str] = "p_t = trough + (peak - trough) * (1 - |2u - 1|), u = (cycles * t / T) mod 1"
    source: ClassVar[str] = "triangular dropout: STLM report, arXiv 2409.05423 (authors' code; after arXiv 1506.01186)"

    trough: Rate
    peak: Rate
    cycles: Count = 4

    def rate(self, step: int, total: int) -> float:
        """The rate at `step` of `total`."""
        place = (self.cycles * step / total) % 1.0
        return self.trough + (self.peak - self.trough) * (1.0 - abs(2.0 * place - 1.0))

    def simplest(self) -> Schedule:
        """A triangle without height is a constant."""
        return Constant(value=self.peak) if self.trough == self.peak else self
