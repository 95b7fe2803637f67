"""The step-addressed loader: what a step reads is a pure function of the step and the order role."""

from __future__ import annotations

import numpy as np
import pytest

from harness.data.encode import Examples
from harness.errors import CellError
from harness.randomness import Streams
from harness.spec.grid import Training
from harness.training.batches import Batches
from harness.training.inputs import Stream


def examples(count: int = 103, seed: int = 0) -> Examples:
    lengths = np.random.Generator(np.random.Philox(seed)).integers(3, 40, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    zeros = np.zeros(count, dtype=np.int32)
    return Examples(np.ones(offsets[-1], dtype=np.int32), offsets, np.zeros(count, dtype=np.int64), zeros, zeros)


def batches(split: object = None, *, order: int = 0, level: int = 0, **training: object) -> Batches:
    settings = Training.model_validate({"batch_size": 8, "epochs": 2, **training})
    return Batches(split or examples(), settings, Streams(0, {"order": order, "sample": level}))  # type: ignore[arg-type]


def epoch_rows(made: Batches, number: int) -> list[int]:
    return [
        int(row)
        for step in range(made.per_epoch)
        for micro in made.step(number * made.per_epoch + step)
        for row in micro
    ]


@pytest.mark.parametrize("bucketing", [True, False])
def test_each_epoch_sees_every_example_once(bucketing: bool) -> None:
    made = batches(bucketing=bucketing)
    assert made.total == 2 * 13
    for number in range(2):
        assert sorted(epoch_rows(made, number)) == list(range(103))
    assert epoch_rows(made, 0) != epoch_rows(made, 1)


def test_any_step_can_be_asked_for_first() -> None:
    one, other = batches(), batches()
    in_order = [one.step(step) for step in range(one.total)]
    for step in (25, 3, 14, 0):
        for left, right in zip(other.step(step), in_order[step], strict=True):
            np.testing.assert_array_equal(left, right)


def test_bucketing_saves_padding() -> None:
    lengths = examples().lengths

    def padded(made: Batches) -> int:
        return sum(len(micro) * int(lengths[micro].max()) for step in range(13) for micro in made.step(step))

    assert padded(batches()) < 0.75 * padded(batches(bucketing=False))


def test_the_order_role_decides_the_order_and_nothing_else_does() -> None:
    assert epoch_rows(batches(order=0), 0) == epoch_rows(batches(order=0, level=5), 0)
    assert epoch_rows(batches(order=0), 0) != epoch_rows(batches(order=1), 0)


def test_micro_batches_are_the_parts_of_the_effective_batch() -> None:
    whole, cut = batches(), batches(micro_batch_size=3)
    for step in range(whole.total):
        np.testing.assert_array_equal(np.concatenate(cut.step(step)), whole.step(step)[0])
    assert {len(micro) for step in range(whole.total) for micro in cut.step(step)} == {3, 2, 1}


def test_the_sample_role_draws_the_examples() -> None:
    bootstrap = batches(sample="bootstrap")
    assert len(bootstrap.examples) == 103
    assert len(set(bootstrap.examples.tolist())) < 90
    assert len(batches(sample=0.5).examples) == 52
    assert batches(sample="bootstrap", level=1).examples.tolist() != bootstrap.examples.tolist()


def test_blocks_of_a_stream_are_whole_and_shift_with_the_epoch() -> None:
    stream = Stream(np.arange(1000, dtype=np.int32), 16)
    made = batches(stream, batch_size=4)
    offsets = {made.offset(epoch * made.per_epoch) for epoch in range(8)}
    assert len(offsets) > 3
    assert max(offsets) < 16
    for step in range(made.per_epoch):
        for row in made.step(step)[0]:
            window = stream.window(int(row), made.offset(step))
            np.testing.assert_array_equal(np.diff(window), np.ones(16))


def test_a_split_shorter_than_a_block_is_refused() -> None:
    with pytest.raises(CellError, match="shorter than one block"):
        _ = batches(Stream(np.arange(10, dtype=np.int32), 16)).per_epoch
