"""Label smoothing: an alternative to dropout in the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.regimes.mechanisms.base import Objective, mechanism

if TYPE_CHECKING:
    from torch import Tensor

    from harness.regimes.mechanisms.base import Loss


@mechanism("label_smoothing")
class LabelSmoothing(Objective):
    """The target is a mixture of the label and the uniform distribution. Training only: reported losses are plain."""

    formula: ClassVar[str] = "q = (1 - epsilon) * one-hot + epsilon / classes"
    source: ClassVar[str] = "Szegedy et al. 2016, arXiv 1512.00567"
    short: ClassVar[str] = "epsilon"

    epsilon: Annotated[float, Field(ge=0.0, lt=1.0, strict=True)]

    def wrap(self, loss: Loss) -> Loss:
        """Cross-entropy with smoothed targets; it replaces the plain one."""
        from torch.nn import functional

        def smoothed(logits: Tensor, targets: Tensor) -> Tensor:
            return functional.cross_entropy(
                logits.flatten(0, -2), targets.flatten(), reduction="sum", label_smoothing=self.epsilon
            )

        return smoothed

    def idle(self) -> bool:
        """Without smoothing it is the plain loss."""
        return self.epsilon == 0.0
