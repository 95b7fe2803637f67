"""Validation-driven dropout: the rate moves when the validation loss stops falling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.regimes.schedules.base import Count, Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant


@schedule("plateau")
class Plateau(Schedule):
    """Starts at `start`; after `patience` validations without a loss below best - `min_delta` the rate moves.

    The best is the lowest loss so far, whether or not it was lower by `min_delta`.

    Down: to rate * factor, never below `floor`. Up: to rate / factor, never above `ceiling`. A move starts the count
    anew; the best loss stays. It sees the validation split only; a task whose validation rows are its test rows is
    refused. The abstract of arXiv 2411.03236 says "validation loss improvements"; its rule and its direction could
    not be read.
    """

    formula: ClassVar[str] = (
        "p <- max(floor, p * factor) (down) or min(ceiling, p / factor) (up) after `patience` validations in a row "
        "with loss >= best - min_delta"
    )
    source: ClassVar[str] = "dynamic dropout, validation loss: arXiv 2411.03236 (its exact rule is not known here)"
    driven: ClassVar[bool] = True

    start: Annotated[Rate, Field(gt=0.0)]
    factor: Annotated[float, Field(gt=0.0, lt=1.0, strict=True)] = 0.5
    patience: Count = 2
    min_delta: Annotated[float, Field(ge=0.0, allow_inf_nan=False, strict=True)] = 0.0
    direction: Literal["down", "up"] = "down"
    floor: Rate = 0.0
    ceiling: Rate = 1.0

    @model_validator(mode="after")
    def _bounds(self) -> Plateau:
        if not self.floor <= self.start <= self.ceiling:
            raise ValueError("`start` must lie between `floor` and `ceiling`")
        return self

    def rate(self, step: int, total: int) -> float:
        """The rate before any validation."""
        return self.start

    def rate_after(self, step: int, total: int, losses: Sequence[float]) -> float:
        """The rate after these validation losses, oldest first: a fold, so that a resumed run needs no other state."""
        return _folded(self, tuple(losses))

    def highest(self) -> float:
        """Where it may end."""
        return self.start if self.direction == "down" else self.ceiling

    def simplest(self) -> Schedule:
        """A rate that cannot move is a constant."""
        end = self.floor if self.direction == "down" else self.ceiling
        return Constant(value=self.start) if self.start == end else self

    def unmoved(self, validations: int) -> str:
        """The first validation is the best so far, so the rate can move after `patience` more."""
        if validations > self.patience:
            return ""
        return (
            f"plateau with patience {self.patience} cannot move: {validations} validations before the last step "
            f"(allowed: {self.patience + 1} or more; see training.evaluate_every)"
        )

    def moved(self, rate: float) -> float:
        """The rate after one move."""
        if self.direction == "down":
            return max(self.floor, rate * self.factor)
        return min(self.ceiling, rate / self.factor)


@lru_cache(maxsize=8)
def _folded(plateau: Plateau, losses: tuple[float, ...]) -> float:
    """Remembered, because every site asks at every step and the answer changes at validations only."""
    rate, best, misses = plateau.start, float("inf"), 0
    for loss in losses:
        misses = 0 if loss < best - plateau.min_delta else misses + 1
        best = min(best, loss)
        if misses == plateau.patience:
            rate, misses = plateau.moved(rate), 0
    return rate
