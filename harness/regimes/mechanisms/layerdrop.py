"""LayerDrop: whole layers are skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from harness.regimes.mechanisms.base import Kind, Placed, mechanism

if TYPE_CHECKING:
    from harness.regimes.anatomy import Anatomy, Slot


@mechanism("layerdrop")
class LayerDrop(Placed):
    """With probability p a layer passes its input on, one draw per layer and micro-batch; nothing is rescaled.

    The layer is still computed (its output is not used and gets no gradient), so it saves no time here.
    """

    kind: ClassVar[Kind] = "structure"
    unbiased: ClassVar[bool | None] = False
    formula: ClassVar[str] = "y = x if u < p else layer(x), u ~ U(0, 1) per layer and micro-batch; not rescaled"
    source: ClassVar[str] = "Fan, Grave and Joulin 2019, arXiv 1909.11556 (default p = .2)"

    @staticmethod
    def attach(anatomy: Anatomy) -> list[Slot]:
        """A coin beside every layer."""
        from harness.regimes.anatomy import Slot, carrier, first, replaced
        from harness.regimes.noise import keep

        slots = []
        for index, layer in enumerate(anatomy.layers):
            coin = carrier(layer.block, "layerdrop", lambda x, rate: keep(x.new_ones(()), rate))

            def skip(_: Any, args: Any, kwargs: Any, output: Any, coin: Any = coin) -> Any:
                x = args[0] if args else kwargs["hidden_states"]
                return None if coin.asleep or bool(coin(x)) else replaced(output, first(x))

            layer.block.register_forward_hook(skip, with_kwargs=True)
            slots.append(Slot("layerdrop", coin, anatomy.name(coin), layer=index))
        return slots
