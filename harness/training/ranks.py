"""Several processes on one cell: each takes micro-batches in turn, and gradients are summed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn import Parameter

from harness.errors import CellError
from harness.training.inputs import MicroBatch


@dataclass(frozen=True)
class Ranks:
    """Which process among those that train one cell; `torch.distributed` must be initialised where there are several.

    Micro-batch i of an effective batch belongs to rank i mod size and keeps its mask key, so 1 x 4, 2 x 2 and 4 x 1
    processes see the same masks. Sums of gradients are taken in another order: last bits differ between sizes, and
    repeat for one size.
    """

    rank: int = 0
    size: int = 1

    def mine(self, micro: list[MicroBatch]) -> list[tuple[int, MicroBatch]]:
        """The micro-batches of this rank, each with its index in the effective batch."""
        return list(enumerate(micro))[self.rank :: self.size]

    def agree(self, number: int, what: str) -> None:
        """Makes sure that a number is the same on all ranks, before anything depends on it.

        Raises:
            CellError: it is not.
        """
        if self.size == 1:
            return
        lowest, highest = torch.tensor(number), torch.tensor(number)
        distributed.all_reduce(lowest, distributed.ReduceOp.MIN)
        distributed.all_reduce(highest, distributed.ReduceOp.MAX)
        if int(lowest) != int(highest):
            raise CellError(f"{what} is {number} on rank {self.rank}, elsewhere {int(lowest)} to {int(highest)}")

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            distributed.barrier()

    def sum_gradients(self, parameters: list[Parameter]) -> None:
        """Sums gradients over all ranks; a parameter that none has a gradient for (a skipped layer) stays without."""
        if self.size == 1:
            return
        has = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
        distributed.all_reduce(has)
        shared = [parameter for parameter, count in zip(parameters, has.tolist(), strict=True) if count > 0]
        for parameter in shared:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in shared if parameter.grad is not None])
        distributed.all_reduce(flat)
        _scatter(flat, shared)

    def sum(self, value: float) -> float:
        """A number summed over all ranks."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(total)
        return float(total)


def _scatter(flat: torch.Tensor, parameters: Iterable[Parameter]) -> None:
    start = 0
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
