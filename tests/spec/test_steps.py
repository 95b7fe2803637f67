"""The number of optimiser steps that plan counts is the one that training takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer

from harness.data.encode import Examples
from harness.data.task import Kind, TaskData
from harness.data.tokenizer import train_tokenizer
from harness.errors import UserError
from harness.randomness import Streams
from harness.spec.grid import Training
from harness.spec.steps import planned_steps, stream_blocks, stream_tokens
from harness.training.batches import Batches
from harness.training.inputs import Stream

TEXT = "abcdefghij"


def characters() -> Tokenizer:
    return train_tokenizer("char", [TEXT], 40, "gpt2")


def task_data(kind: Kind, count: int) -> TaskData:
    """`count` labelled rows, or a stream of `count` characters."""
    if kind == "language":
        frame = pd.DataFrame({"text": [(TEXT * count)[:count]]})
    else:
        frame = pd.DataFrame({"text": [TEXT] * count, "label": [0] * count})
    return TaskData(kind, {"train": frame}, labels=("no", "yes"))


def settings(**changes: Any) -> Training:
    return Training.model_validate({"batch_size": 8, "max_length": 16, **changes})


def batches(training: Training, kind: Kind, count: int) -> Batches:
    """Batches over a split of `count` examples, or of a stream of `count` tokens."""
    zeros = np.zeros(count, dtype=np.int32)
    rows = Examples(zeros, np.arange(count + 1), np.zeros(count, dtype=np.int64), zeros, zeros)
    return Batches(Stream(zeros, training.max_length) if kind == "language" else rows, training, Streams(0))


@pytest.mark.parametrize("count", [32, 33, 100, 257, 1000])
@pytest.mark.parametrize("kind", ["classification", "language"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"epochs": 0.37}, {"epochs": 2.5, "batch_size": 7}, {"batch_size": 64}, {"steps": 11}, {"max_length": 5}],
)
def test_planned_steps_are_those_of_training(kind: Kind, count: int, changes: dict[str, Any]) -> None:
    training = settings(**changes)
    planned = planned_steps(training, task_data(kind, count), characters(), None)
    assert planned == batches(training, kind, count).total


@pytest.mark.parametrize("sample", ["all", "bootstrap", 0.5, 0.013])
def test_a_sample_counts(sample: Any) -> None:
    training = settings(sample=sample)
    planned = planned_steps(training, task_data("classification", 103), characters(), None)
    assert planned == batches(training, "classification", 103).total


def test_epochs_by_hand() -> None:
    """100 rows in batches of 8 are 13 steps an epoch; 100 tokens have 5 blocks of 16, one incomplete batch."""
    assert planned_steps(settings(), task_data("classification", 100), characters(), None) == 3 * 13
    assert planned_steps(settings(), task_data("language", 100), characters(), None) == 3
    assert planned_steps(settings(batch_size=2), task_data("language", 100), characters(), None) == 3 * 2
    assert planned_steps(settings(sample=0.5), task_data("classification", 100), characters(), None) == 3 * 7


@pytest.mark.parametrize("kind", ["classification", "language"])
def test_a_train_size_stands_for_the_count(kind: Kind) -> None:
    training = settings(batch_size=4)
    assert planned_steps(training, task_data(kind, 1000), characters(), 20) == 3 * 5


def test_a_stream_is_encoded_only_where_its_length_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("encoded")

    monkeypatch.setattr("harness.spec.steps.encode_stream", refuse)
    data = task_data("language", 1000)
    assert planned_steps(settings(steps=11), data, characters(), None) == 11
    assert planned_steps(settings(), data, characters(), 16) == 6
    with pytest.raises(AssertionError, match="encoded"):
        planned_steps(settings(), data, characters(), None)


def test_a_split_shorter_than_one_block_is_refused() -> None:
    with pytest.raises(UserError, match="max_length 16: the training split is shorter than one block"):
        planned_steps(settings(), task_data("language", 31), characters(), None)


@pytest.mark.parametrize("block", [1, 5, 16])
def test_blocks_of_a_stream_fit_at_every_offset(block: int) -> None:
    for tokens in range(2 * block, 8 * block):
        stream = Stream(np.arange(tokens, dtype=np.int32), block)
        count = stream_blocks(tokens, block)
        assert count == min(stream.blocks(offset) for offset in range(block))
        assert all(len(stream.window(count - 1, offset)) == block + 1 for offset in range(block))
        assert stream_blocks(stream_tokens(count, block), block) == count
        assert stream_blocks(stream_tokens(count, block) - 1, block) == count - 1
