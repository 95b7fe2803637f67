"""How many examples an epoch has and how many optimiser steps a cell takes: one arithmetic for plan and training.

No torch: a schedule that is matched to another arm's mean rate must know the number of steps before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING

from harness.data.encode import encode_stream
from harness.data.task import TaskData
from harness.errors import UserError
from harness.spec.grid import Training

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def stream_blocks(tokens: int, block: int) -> int:
    """Blocks that an epoch of a stream reads: as many as fit behind the largest offset, `block` - 1 tokens.

    A block of n tokens predicts n, so the last one needs one token more than it reads.
    """
    return max(0, (tokens - block) // block)


def stream_tokens(blocks: int, block: int) -> int:
    """Tokens of the shortest stream whose epochs read so many blocks; the inverse of `stream_blocks`."""
    return (blocks + 1) * block


def drawn_examples(training: Training, count: int) -> int:
    """How many of `count` examples the `sample` role draws; a bootstrap draws as many as there are."""
    if training.sample in ("all", "bootstrap"):
        return count
    return max(1, round(count * float(training.sample)))


def steps_per_epoch(training: Training, examples: int, *, stream: bool) -> int:
    """Optimiser steps of one epoch. A stream's last partial batch is left out; a keyed order changes which.

    Args:
        training: the batch size.
        examples: drawn examples, or blocks of a stream; at least 1.
        stream: whether they are blocks.
    """
    if stream:
        return max(1, examples // training.batch_size)
    return ceil(examples / training.batch_size)


def total_steps(training: Training, per_epoch: int) -> int:
    """Optimiser steps of the whole training, at least 1."""
    if training.steps is not None:
        return training.steps
    return max(1, round(training.length * per_epoch))


def training_examples(training: Training, data: TaskData, tokenizer: Tokenizer) -> int:
    """What a task has to train on: rows, or for a language task blocks of `max_length` tokens (this encodes them)."""
    train = data.splits["train"]
    if data.kind != "language":
        return len(train)
    return stream_blocks(len(encode_stream(train, tokenizer, data.separator)), training.max_length)


def evaluation_steps(training: Training, per_epoch: int, total: int) -> Iterator[int]:
    """After how many finished steps the validation split is looked at; the last step is always one."""
    every = training.evaluate_every
    size = per_epoch if every is None else every * total if every < 1 else every
    count = 1
    while round(count * size) < total:
        if round(count * size) > 0:
            yield round(count * size)
        count += 1
    yield total


def planned_steps(training: Training, data: TaskData, tokenizer: Tokenizer, train_size: int | None) -> int:
    """Optimiser steps of a cell, exactly as `harness.training.batches.Batches.total` counts them.

    A stream is encoded only where the training's length is given in epochs and no `train_size` says its blocks.

    Args:
        training: the settings of the cell's task.
        data: the task's data.
        tokenizer: of the cell's model.
        train_size: training examples (blocks) in use; None is all. That there are so many is not checked here.

    Raises:
        UserError: the training split is shorter than one block.
    """
    if training.steps is not None:
        return training.steps
    return total_steps(training, _planned_epoch(training, data, tokenizer, train_size))


def planned_validations(training: Training, data: TaskData, tokenizer: Tokenizer, train_size: int | None) -> int:
    """Validations before the last step of a cell whose validations are asked for (selected, driven or drawn).

    Raises:
        UserError: the training split is shorter than one block.
    """
    per_epoch = _planned_epoch(training, data, tokenizer, train_size)
    return len(list(evaluation_steps(training, per_epoch, total_steps(training, per_epoch)))) - 1


def _planned_epoch(training: Training, data: TaskData, tokenizer: Tokenizer, train_size: int | None) -> int:
    count = training_examples(training, data, tokenizer) if train_size is None else train_size
    if count == 0:
        raise UserError(f"training.max_length {training.max_length}: the training split is shorter than one block")
    return steps_per_epoch(training, drawn_examples(training, count), stream=data.kind == "language")
