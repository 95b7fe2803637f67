"""Gaussian dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from harness.regimes.mechanisms.base import Noise, mechanism

if TYPE_CHECKING:
    from torch import Tensor


@mechanism("gaussian")
class Gaussian(Noise):
    """Multiplies by a normal variable with the mean and the variance of inverted dropout's multiplier."""

    formula: ClassVar[str] = "y = x * N(1, p / (1 - p)), element-wise; p < 1"
    source: ClassVar[str] = "Srivastava et al. 2014 (JMLR 15), multiplicative Gaussian noise of equal variance"

    @staticmethod
    def draw(x: Tensor, rate: float) -> Tensor:
        """`x` times one normal variable per element."""
        import torch

        noisy: Tensor = x * (1.0 + (rate / (1.0 - rate)) ** 0.5 * torch.randn_like(x))
        return noisy
