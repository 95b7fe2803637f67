"""Stochastic depth (DropPath): sub-layers are skipped, per example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.regimes.mechanisms.base import Kind, Placed, mechanism

if TYPE_CHECKING:
    from harness.regimes.anatomy import Anatomy, Slot


@mechanism("stochastic_depth")
class StochasticDepth(Placed):
    """Each example loses a sub-layer's output with probability p; what is kept is rescaled.

    The usual rates rise with depth: `{rate: p, depth: linear}`.
    """

    kind: ClassVar[Kind] = "structure"
    unbiased: ClassVar[bool | None] = True
    formula: ClassVar[str] = "x + b / (1 - p) * f(x), b ~ Bernoulli(1 - p) per example and sub-layer"
    source: ClassVar[str] = "Huang et al. 2016, arXiv 1603.09382; rescaled as DropPath (code of arXiv 2303.01500)"

    @staticmethod
    def attach(anatomy: Anatomy) -> list[Slot]:
        """Behind every sub-layer's own dropout, before the addition."""
        from harness.regimes.anatomy import Slot, carrier
        from harness.regimes.noise import per_example

        slots = []
        for end in anatomy.at("sublayer"):
            path = carrier(end.module, "stochastic_depth", per_example)

            def drop(_: Any, __: Any, output: Any, path: Any = path) -> Any:
                return None if path.asleep else path(output)

            end.module.register_forward_hook(drop)
            slots.append(Slot("stochastic_depth", path, anatomy.name(path), layer=end.layer))
        return slots
