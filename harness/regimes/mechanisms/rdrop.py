"""R-Drop: two passes must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.regimes.mechanisms.base import Objective, mechanism

if TYPE_CHECKING:
    from torch import Tensor

    from harness.regimes.mechanisms.base import Loss


@mechanism("rdrop")
class RDrop(Objective):
    """Every example goes through the model twice, under two masks; their distributions are drawn together.

    Both passes are one forward of a doubled batch, so they share what is drawn once per forward: the weights of Mixout
    and the layers of LayerDrop. A regime without any other dropout is refused: its divergence would be 0.
    """

    formula: ClassVar[str] = "L = (CE_1 + CE_2) / 2 + alpha * (KL(p1 || p2) + KL(p2 || p1)) / 2"
    source: ClassVar[str] = "Liang et al. 2021, arXiv 2106.14448"
    forwards: ClassVar[int] = 2
    short: ClassVar[str] = "alpha"

    alpha: Annotated[float, Field(ge=0.0, allow_inf_nan=False, strict=True)] = 1.0

    def wrap(self, loss: Loss) -> Loss:
        """Logits and targets hold every example twice: first all, then all again."""
        import torch
        from torch.nn import functional

        def both(logits: Tensor, targets: Tensor) -> Tensor:
            one, two = logits.chunk(2)
            due = targets.chunk(2)[0] != -100
            first, second = (functional.log_softmax(half[due], dim=-1) for half in (one, two))
            # KL(p || q) + KL(q || p) = sum (p - q)(log p - log q)
            distance = ((first.exp() - second.exp()) * (first - second)).sum()
            return 0.5 * loss(logits, targets) + self.alpha * 0.5 * torch.as_tensor(distance)

        return both
