"""Random windows of a validation stream: the noisy estimate of its loss that many published numbers are.

nanoGPT (Karpathy 2022, train.py `estimate_loss`) and its kin report the mean loss over N = evaluation batches x batch
size windows, each starting anywhere in the stream, and often the lowest such mean of a whole run. The minimum over
noisy estimates is too low by construction, so here it stands beside the loss over all fixed windows, which decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.errors import CellError
from harness.evaluation.evaluate import evaluate
from harness.randomness import Streams
from harness.training.inputs import Indices, Inputs, Split, Stream

METRIC = "validation.random_loss"  # of the learning curve


@dataclass(frozen=True)
class Windows(Stream):
    """A stream that is read in windows of `block` tokens at given starts, in place of adjoining blocks."""

    starts: Indices

    def blocks(self, offset: int) -> int:
        """Number of windows."""
        return len(self.starts)

    def window(self, index: int, offset: int) -> npt.NDArray[np.int32]:
        """Window `index`: `block` + 1 tokens, the inputs and the last target; there is no offset."""
        start = int(self.starts[index])
        return self.ids[start : start + self.block + 1]


def random_windows(stream: Stream, count: int, streams: Streams, step: int) -> Windows:
    """`count` windows with uniform starts, drawn with replacement.

    Keyed by the finished steps and by all levels of the cell together, not by one training role: they are noise of the
    measurement, and a design that varies one role must not charge it with them.

    Raises:
        CellError: the stream is shorter than one window.
    """
    starts = len(stream.ids) - stream.block  # a window has one token more than the block
    if starts < 1:
        raise CellError("the validation split is shorter than one block: lower training.max_length")
    levels = [f"{role}={level}" for role, level in sorted(streams.levels.items())]
    generator = Streams(streams.seed).generator("mc", "windows", step, *levels)
    return Windows(stream.ids, stream.block, generator.integers(0, starts, count))


def random_loss(
    model: Any, split: Split, inputs: Inputs, family: str, count: int, streams: Streams, step: int
) -> float:
    """Mean loss over random windows in nats per token, in eval mode; no generator that others use is touched."""
    assert isinstance(split, Stream), "random windows of a task without a stream are refused in plan"
    return evaluate(model, random_windows(split, count, streams, step), inputs, family, ()).metrics["loss"]


def random_loss_rows(history: pd.DataFrame) -> pd.DataFrame:
    """Final rows (split, metric, value): the random-window loss of the last evaluation, and the lowest of all.

    Both are of the weights at their evaluation, which need not be the selected ones.

    Args:
        history: learning curves (step, metric, value) with at least one evaluation.
    """
    curve = history[history["metric"] == METRIC].sort_values("step")["value"]
    rows = [("validation", "random-loss", curve.iloc[-1]), ("validation", "best-random-loss", curve.min())]
    return pd.DataFrame(rows, columns=["split", "metric", "value"])
