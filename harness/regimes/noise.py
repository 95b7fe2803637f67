"""The modules that carry a rate and draw noise, each visible to the audit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import Parameter, functional
from torch.overrides import handle_torch_function, has_torch_function_unary

Draw = Callable[[Tensor, float], Tensor]


def noise(x: Tensor, rate: float, draw: Draw) -> Tensor:
    """One noise call. It announces itself as torch's own functions do, so that the audit sees it with its rate."""
    if has_torch_function_unary(x):
        return handle_torch_function(noise, (x,), x, rate, draw)
    return draw(x, rate)


class Carrier(nn.Dropout):
    """A rate and a way to draw with it. Without training or at rate 0 it returns its input and draws nothing."""

    def __init__(self, draw: Draw) -> None:
        super().__init__(0.0)
        self.draw = draw

    @property
    def asleep(self) -> bool:
        """Nothing to do: eval mode, or rate 0."""
        return not self.training or self.p == 0.0

    def forward(self, x: Tensor) -> Tensor:
        """`x` under noise."""
        return x if self.asleep else noise(x, self.p, self.draw)


class PlainMask(Carrier):
    """A mask that is not rescaled in training; evaluation multiplies by 1 - p instead (Srivastava's convention)."""

    def __init__(self) -> None:
        super().__init__(lambda x, rate: x * keep(torch.ones_like(x), rate))

    def forward(self, x: Tensor) -> Tensor:
        """`x` masked in training, scaled in evaluation."""
        return x * (1.0 - self.p) if not self.training else super().forward(x)


class WeightMix(Carrier):
    """One matrix that is mixed with its start. The start is not in the state dict: a resumed cell makes it again.

    Attributes:
        weight: the parameter's name in the model.
    """

    def __init__(self, weight: str, parameter: Parameter) -> None:
        super().__init__(functional.dropout)
        self.weight = weight
        # In lists, so that neither is registered as a part of this module.
        self._now, self._start = [parameter], [parameter.detach().clone()]

    def mixed(self) -> Tensor:
        """The weights of this forward, differentiable in the parameter."""
        now = self._now[0]
        self._start[0] = self._start[0].to(now.device)  # the model may have moved since
        moved: Tensor = self(now - self._start[0])
        return self._start[0] + moved


def keep(ones: Tensor, rate: float) -> Tensor:
    """A mask of zeros and ones in the shape of `ones`: each is kept with probability 1 - rate."""
    return (functional.dropout(ones, rate) != 0).to(ones.dtype)


def per_example(x: Tensor, rate: float) -> Tensor:
    """`x` [examples, ...] with whole examples dropped, and rescaled."""
    return x * functional.dropout(x.new_ones(x.shape[0], *[1] * (x.ndim - 1)), rate)
