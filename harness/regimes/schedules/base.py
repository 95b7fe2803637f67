"""What a schedule is: a pure function from the optimiser step (and past validation losses) to a dropout rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# Strict, so that `true` or "0.1" in a grid file is a mistake and not a rate.
Rate = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]


def _whole(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")
    return value


Count = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10_000)]


class Schedule(BaseModel, ABC):
    """A rate schedule. Its fields are what a grid file gives; `formula` and `source` are what `list` prints."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    driven: ClassVar[bool] = False  # whether validation losses move it

    @abstractmethod
    def rate(self, step: int, total: int) -> float:
        """The probability of dropping at optimiser step `step` of `total`, 0 <= step < total."""

    def rate_after(self, step: int, total: int, losses: Sequence[float]) -> float:
        """The rate at `step`, given the validation losses so far, oldest first; most schedules do not look at them."""
        return self.rate(step, total)

    def simplest(self) -> Schedule:
        """The same rates under the simplest schedule that has them, so that equal cells have one identity."""
        return self

    def highest(self) -> float:
        """The highest rate it can have (of a smooth shape up to the grain of 1,000 steps)."""
        return max(self.rate(step, 1000) for step in range(1000))

    def unmoved(self, validations: int) -> str:
        """Why so many validations before the last step can never move a driven schedule, or an empty string."""
        return ""

    def zero(self) -> bool:
        """Whether the rate is 0 at every step."""
        return False

    def describe(self) -> dict[str, object]:
        """Canonical form, as it stands in a cell's identity."""
        return {self.name: self.model_dump(mode="json")}


SCHEDULES: dict[str, type[Schedule]] = {}


def schedule(name: str) -> Callable[[type[Schedule]], type[Schedule]]:
    """Registers a schedule under the name that grid files use."""

    def register(cls: type[Schedule]) -> type[Schedule]:
        cls.name = name
        SCHEDULES[name] = cls
        return cls

    return register
