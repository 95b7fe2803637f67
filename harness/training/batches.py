"""Which examples each optimiser step sees: a pure function of the step, so that any step can be asked for first."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from harness.errors import CellError
from harness.randomness import Streams
from harness.spec.grid import Training
from harness.spec.steps import drawn_examples, steps_per_epoch, stream_blocks, total_steps
from harness.training.inputs import Indices, Split, Stream


@dataclass(eq=False)
class Batches:
    """The effective batches of a cell, addressed by optimiser step.

    An epoch's order is keyed by (order, epoch). With bucketing the order is cut into pools of 50 batches, each pool
    is sorted by length and cut into batches, and the batches are shuffled: batches of like length, little padding.
    A language model's epoch starts at a keyed offset below one block, so that block borders move.
    """

    split: Split
    training: Training
    streams: Streams
    pool: int = 50
    _last: tuple[int, list[Indices]] | None = field(default=None, init=False, repr=False)

    @cached_property
    def examples(self) -> Indices:
        """The training examples that the `sample` role draws (blocks of a stream: all)."""
        if isinstance(self.split, Stream):
            return np.arange(stream_blocks(len(self.split.ids), self.split.block))
        count = len(self.split)
        if self.training.sample == "all":
            return np.arange(count)
        generator = self.streams.generator("sample")
        if self.training.sample == "bootstrap":
            return np.sort(generator.integers(0, count, count))
        return np.sort(generator.permutation(count)[: drawn_examples(self.training, count)])

    @cached_property
    def per_epoch(self) -> int:
        """Optimiser steps of one epoch.

        Raises:
            CellError: a stream is shorter than one block.
        """
        if len(self.examples) == 0:
            raise CellError("the training split is shorter than one block: lower training.max_length")
        return steps_per_epoch(self.training, len(self.examples), stream=isinstance(self.split, Stream))

    @cached_property
    def total(self) -> int:
        """Optimiser steps of the whole training."""
        return total_steps(self.training, self.per_epoch)

    def offset(self, step: int) -> int:
        """Where the blocks of a stream start in this step's epoch."""
        if not isinstance(self.split, Stream):
            return 0
        return int(self.streams.generator("order", step // self.per_epoch, "offset").integers(self.split.block))

    def epoch(self, number: int) -> list[Indices]:
        """The effective batches of one epoch, in order; the last asked for is remembered."""
        if self._last is None or self._last[0] != number:
            self._last = (number, _epoch(self, number))
        return self._last[1]

    def step(self, step: int) -> list[Indices]:
        """The micro-batches of one optimiser step."""
        batch = self.epoch(step // self.per_epoch)[step % self.per_epoch]
        size = self.training.micro_batch_size or self.training.batch_size
        return [batch[start : start + size] for start in range(0, len(batch), size)]


def _epoch(batches: Batches, number: int) -> list[Indices]:
    size, examples = batches.training.batch_size, batches.examples
    generator = batches.streams.generator("order", number)
    order = examples[generator.permutation(len(examples))]
    if isinstance(batches.split, Stream) or not batches.training.bucketing:
        return [order[start : start + size] for start in range(0, len(order), size)][: batches.per_epoch]
    cut: list[Indices] = []
    lengths = batches.split.lengths
    for start in range(0, len(order), size * batches.pool):
        pool = order[start : start + size * batches.pool]
        # Stable, so that examples of one length stay in their keyed order.
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        cut += [pool[at : at + size] for at in range(0, len(pool), size)]
    return [cut[i] for i in generator.permutation(len(cut))]
