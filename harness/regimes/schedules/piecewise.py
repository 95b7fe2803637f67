"""A rate that steps at places of the user's choice."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from harness.regimes.schedules.base import Rate, Schedule, schedule
from harness.regimes.schedules.constant import Constant

Place = Annotated[float, Field(gt=0.0, lt=1.0, strict=True)]


@schedule("piecewise")
class Piecewise(Schedule):
    """`rates[i]` from the fraction `at[i - 1]` of all steps on; one place fewer than rates."""

    formula: ClassVar[str] = "p_t = rates[i] for round(at[i-1] * T) <= t < round(at[i] * T)"
    source: ClassVar[str] = "user-given"

    rates: Annotated[tuple[Rate, ...], Field(min_length=1)]
    at: tuple[Place, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Piecewise:
        if len(self.at) != len(self.rates) - 1 or list(self.at) != sorted(set(self.at)):
            raise ValueError("`at` must rise and have one place fewer than `rates`")
        return self

    def rate(self, step: int, total: int) -> float:
        """The rate at `step` of `total`."""
        return self.rates[sum(step >= round(place * total) for place in self.at)]

    def simplest(self) -> Schedule:
        """Equal pieces are a constant."""
        return Constant(value=self.rates[0]) if len(set(self.rates)) == 1 else self
