"""What a schedule is: a pure function from the optimiser step to a dropout rate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

# Strict, so that `true` or "0.1" in a grid file is a mistake and not a rate.
Rate = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]


class Schedule(BaseModel, ABC):
    """A rate schedule. Its fields are what a grid file gives; `formula` and `source` are what `list` prints."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def rate(self, step: int, total: int) -> float:
        """The probability of dropping at optimiser step `step` of `total`, 0 <= step < total."""

    def simplest(self) -> Schedule:
        """The same rates under the simplest schedule that has them, so that equal cells have one identity."""
        return self

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
