"""What a mechanism is. Facts can be read without torch; whatever needs torch imports it inside its function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from torch import Tensor

    from harness.regimes.anatomy import Anatomy, Slot

    Loss = Callable[[Tensor, Tensor], Tensor]

Kind = Literal["noise", "structure", "weights", "input", "objective", "optimiser"]


class Mechanism(ABC):
    """What `list regimes` prints of a mechanism.

    Attributes:
        kind: noise at a site, structure, weights, input, objective, or optimiser.
        unbiased: whether its site's expected output in training is its output in eval mode; None where it has none.
        forwards: how many forward passes of the model an example costs in training.
        families: model types that it works on; None: all.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    unbiased: ClassVar[bool | None]
    formula: ClassVar[str]
    source: ClassVar[str]
    forwards: ClassVar[int] = 1
    families: ClassVar[tuple[str, ...] | None] = None


class Noise(Mechanism):
    """Another noise than Bernoulli's at a site: `{sublayer: {rate: 0.1, noise: NAME}}`."""

    kind: ClassVar[Kind] = "noise"
    unbiased: ClassVar[bool | None] = True

    @staticmethod
    @abstractmethod
    def draw(x: Tensor, rate: float) -> Tensor:
        """`x` [examples, ..., width] with noise; called in training at rates above 0 only."""


class Placed(Mechanism):
    """A mechanism with a rate and places of its own in the model: `{NAME: rate or schedule}`.

    Attributes:
        structural: it changes the model at rate 0 as well; its rate must then be constant.
    """

    structural: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def attach(anatomy: Anatomy) -> list[Slot]:
        """Puts its modules into the model, at rate 0, and says where they are."""


class Objective(BaseModel, Mechanism):
    """A mechanism that changes the training loss: `{NAME: value}` or `{NAME: {parameters}}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: ClassVar[Kind] = "objective"
    unbiased: ClassVar[bool | None] = None
    short: ClassVar[str]  # the parameter that a bare number gives

    @abstractmethod
    def wrap(self, loss: Loss) -> Loss:
        """The new loss: (logits, targets) to a sum over targets, from the loss so far."""

    def idle(self) -> bool:
        """Whether it changes nothing with these parameters."""
        return False


class Setting(Mechanism):
    """An alternative to dropout that is a training setting: `{NAME: number}` overrides the one of `training`."""

    kind: ClassVar[Kind] = "optimiser"
    unbiased: ClassVar[bool | None] = None


MECHANISMS: dict[str, type[Mechanism]] = {}
M = TypeVar("M", bound=type[Any])


def mechanism(name: str) -> Callable[[M], M]:
    """Registers a mechanism under the name that grid files use."""

    def register(cls: M) -> M:
        cls.name = name
        MECHANISMS[name] = cls
        return cls

    return register
