"""The skip of Li and Ke: it carries the layer norm's output, under a mask that is not rescaled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.regimes.mechanisms.base import Kind, Placed, mechanism

if TYPE_CHECKING:
    from harness.regimes.anatomy import Anatomy, Slot


@mechanism("layer_norm_skip")
class LayerNormSkip(Placed):
    """A variant of the residual branch, as in the authors' code; at rate 0 it is still another model than GPT-2.

    Training multiplies the skip by the plain mask, evaluation by 1 - r, so the site is unbiased; but in eval mode it
    is not the identity, and r belongs to the model. Its rate is therefore constant.
    """

    kind: ClassVar[Kind] = "structure"
    unbiased: ClassVar[bool | None] = True
    structural: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...] | None] = ("gpt2",)
    formula: ClassVar[str] = "y = m * LN(x) + f(LN(x)) in training, (1 - r) * LN(x) + f(LN(x)) in evaluation"
    source: ClassVar[str] = "Li and Ke 2024, arXiv 2410.01019 (authors' code, 1-layer skip)"

    @staticmethod
    def attach(anatomy: Anatomy) -> list[Slot]:
        """Replaces x by the masked LN(x) where a block adds its input to a branch's output."""
        from harness.regimes.anatomy import Slot, replaced
        from harness.regimes.noise import PlainMask

        slots = []
        for index, layer in enumerate(anatomy.layers):
            for norm, branch in layer.branches:
                mask = PlainMask()
                branch.add_module("layer_norm_skip", mask)
                seen: list[Any] = []

                def keep(_: Any, args: Any, output: Any, seen: list[Any] = seen) -> None:
                    seen[:] = [(args[0], output)]

                def exchange(_: Any, __: Any, output: Any, seen: list[Any] = seen, mask: Any = mask) -> Any:
                    x, normed = seen.pop()
                    branch_output = output[0] if isinstance(output, tuple) else output
                    return replaced(output, branch_output + (mask(normed) - x))

                norm.register_forward_hook(keep)
                branch.register_forward_hook(exchange)
                slots.append(Slot("layer_norm_skip", mask, anatomy.name(mask), layer=index))
        return slots
