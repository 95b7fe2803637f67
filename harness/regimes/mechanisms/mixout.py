"""Mixout: weights fall back to their start."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from harness.regimes.mechanisms.base import Kind, Placed, mechanism

if TYPE_CHECKING:
    from harness.regimes.anatomy import Anatomy, Slot


@mechanism("mixout")
class Mixout(Placed):
    """Each weight of the layers' matrices is its starting value with probability p, rescaled to keep its mean.

    Masks are per element, as in the paper's formula (the authors' code repeats one per input column). Embeddings,
    norms, biases and the head are left alone; from random weights the start is their initialisation.
    """

    kind: ClassVar[Kind] = "weights"
    unbiased: ClassVar[bool | None] = True
    formula: ClassVar[str] = "W -> (m * W + (1 - m) * W0 - p * W0) / (1 - p) = W0 + dropout(W - W0), element-wise"
    source: ClassVar[str] = "Lee, Cho and Kang 2020, arXiv 1909.11299 (p .7 to .9)"

    @staticmethod
    def attach(anatomy: Anatomy) -> list[Slot]:
        """One module per matrix; the training forward asks them for the weights to use."""
        from harness.regimes.anatomy import Slot
        from harness.regimes.noise import WeightMix

        slots = []
        for index, layer in enumerate(anatomy.layers):
            for name, parameter in layer.block.named_parameters():
                if parameter.ndim < 2:
                    continue
                owner = layer.block.get_submodule(name.rpartition(".")[0])
                mix = WeightMix(f"{anatomy.name(layer.block)}.{name}", parameter)
                owner.add_module("mixout", mix)
                slots.append(Slot("mixout", mix, anatomy.name(mix), layer=index))
        return slots
