"""Locked dropout: one mask per sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from harness.regimes.mechanisms.base import Noise, mechanism

if TYPE_CHECKING:
    from torch import Tensor


@mechanism("locked")
class Locked(Noise):
    """The variational mask: one per example and unit, the same at every position of the sequence."""

    formula: ClassVar[str] = "y[b, t, h] = m[b, h] * x[b, t, h] / (1 - p), m ~ Bernoulli(1 - p)"
    source: ClassVar[str] = "Gal and Ghahramani 2016, arXiv 1512.05287"

    @staticmethod
    def draw(x: Tensor, rate: float) -> Tensor:
        """`x` [examples, positions, width] (or [examples, width]) times one mask per example and unit."""
        from torch.nn import functional

        shape = [x.shape[0], *[1] * (x.ndim - 2), x.shape[-1]]
        return x * functional.dropout(x.new_ones(shape), rate)
