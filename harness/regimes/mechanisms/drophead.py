"""DropHead: whole attention heads are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.regimes.mechanisms.base import Kind, Placed, mechanism

if TYPE_CHECKING:
    from torch import Tensor

    from harness.regimes.anatomy import Anatomy, Slot


@mechanism("drophead")
class DropHead(Placed):
    """Drops each head of each example with probability p and rescales by the number of heads that are left.

    Where all H heads drop the output is 0, so its expectation is (1 - p^H) times the eval output: not unbiased. The
    paper's V-shaped schedule can be written with `piecewise`; its exact form could not be read.
    """

    kind: ClassVar[Kind] = "structure"
    unbiased: ClassVar[bool | None] = False
    formula: ClassVar[str] = "head h -> m_h * head h * H / sum(m), m_h ~ Bernoulli(1 - p) per example and head"
    source: ClassVar[str] = "Zhou et al. 2020, arXiv 2004.13342"

    @staticmethod
    def attach(anatomy: Anatomy) -> list[Slot]:
        """In front of every attention's output projection, whose input is the heads side by side."""
        from harness.regimes.anatomy import Slot, carrier

        slots = []
        for index, layer in enumerate(anatomy.layers):
            heads = carrier(layer.projection, "drophead", _draw(layer.heads))

            def drop(_: Any, args: Any, heads: Any = heads) -> Any:
                return None if heads.asleep else (heads(args[0]), *args[1:])

            layer.projection.register_forward_pre_hook(drop)
            slots.append(Slot("drophead", heads, anatomy.name(heads), layer=index))
        return slots


def _draw(heads: int) -> Any:
    def draw(x: Tensor, rate: float) -> Tensor:
        """`x` [examples, positions, heads * width]; one mask per example and head."""
        from harness.regimes.noise import keep

        mask = keep(x.new_ones(x.shape[0], *[1] * (x.ndim - 2), heads, 1), rate)
        scale = heads / mask.sum(dim=-2, keepdim=True).clamp(min=1.0)
        split: Tensor = x.view(*x.shape[:-1], heads, -1) * (mask * scale)
        return split.view(x.shape)

    return draw
