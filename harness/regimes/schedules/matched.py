"""A schedule scaled to a given mean rate, so that its shape is compared with a constant and not its dose."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import ClassVar

from pydantic import SerializeAsAny

from harness.errors import CellError
from harness.regimes.schedules.base import Rate, Schedule


class Matched(Schedule):
    """`shape` times one factor, such that its mean over all optimiser steps is `mean`.

    Not written in a grid file: `match: {mean-rate: ARM}` makes it.
    """

    name: ClassVar[str] = "matched"
    formula: ClassVar[str] = "p_t = shape_t * mean / ((1 / T) * sum over s of shape_s)"
    source: ClassVar[str] = "own definition: a constant arm as a control for the dose"

    shape: SerializeAsAny[Schedule]
    mean: Rate

    def rate(self, step: int, total: int) -> float:
        """The scaled rate at `step` of `total`.

        Raises:
            CellError: the shape cannot have that mean; planning refuses it before.
        """
        if self.mean == 0.0:
            return 0.0
        problem = self.impossible(total)
        if problem:
            raise CellError(problem)
        return min(1.0, self.shape.rate(step, total) * (self.mean / _mean(self.shape, total)))

    def impossible(self, total: int) -> str:
        """Why this mean cannot be had with `total` steps, or an empty string."""
        mean, peak = _mean(self.shape, total), _peak(self.shape, total)
        if self.mean == 0.0:
            return ""
        if mean == 0.0:
            return f"a mean rate of {self.mean:g} cannot be matched: {self.shape.name} is 0 at all {total} steps"
        if peak * self.mean / mean > 1.0 + 1e-12:  # a rate of exactly 1 is not refused for its rounding
            return (
                f"a mean rate of {self.mean:g} cannot be matched: {self.shape.name} would need a rate of "
                f"{peak * self.mean / mean:.3g} (a rate is from 0 to 1)"
            )
        return ""

    def zero(self) -> bool:
        """Whether the rate is 0 at every step."""
        return self.mean == 0.0

    def describe(self) -> dict[str, object]:
        """Canonical form: the shape's, and the mean that it is scaled to."""
        return {self.name: {"shape": self.shape.describe(), "mean": self.mean}}


@lru_cache(maxsize=256)
def _mean(shape: Schedule, total: int) -> float:
    return math.fsum(shape.rate(step, total) for step in range(total)) / total


@lru_cache(maxsize=256)
def _peak(shape: Schedule, total: int) -> float:
    return max(shape.rate(step, total) for step in range(total))
