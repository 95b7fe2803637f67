"""What a cell of a small training set really reads, trains on and is evaluated on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toolbox import LANGUAGE, TINY

from harness.spec.cells import TrainingCell
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.spec.steps import planned_steps
from harness.store import Store
from harness.training.batches import Batches
from harness.training.cells import Worker, run_base, run_training
from harness.training.inputs import Inputs, Stream


def cells(grid: dict[str, Any], home: Path) -> tuple[Worker, dict[str, TrainingCell]]:
    """The first cell of each size, by the label of its task."""
    store = Store(home / "results")
    found = expand(parse_grid(grid, "grid"), store, None).training
    return Worker(store), {cell.problem.label: cell for cell in reversed(found)}


def texts(inputs: Inputs) -> list[str]:
    return list(inputs.data.splits["train"]["text"])


def test_rows_are_nested_and_token_ids_are_those_of_the_whole_set(tiny: Any, home: Path) -> None:
    worker, made = cells(tiny(train_size=[10, 50, "all"]), home)
    inputs = {label: worker.inputs(cell.problem) for label, cell in made.items()}
    assert [len(inputs[label].splits["train"]) for label in ("csv@10", "csv@50", "csv")] == [10, 50, 96]  # type: ignore[arg-type]
    assert set(texts(inputs["csv@10"])) < set(texts(inputs["csv@50"])) < set(texts(inputs["csv"]))
    whole, small = inputs["csv"], inputs["csv@10"]
    for i, text in enumerate(texts(small)):
        there = texts(whole).index(text)
        np.testing.assert_array_equal(small.splits["train"].row(i), whole.splits["train"].row(there))  # type: ignore[union-attr]
        assert small.splits["train"].labels[i] == whole.splits["train"].labels[there]  # type: ignore[index, union-attr]
    assert len(small.splits["test"]) == 40  # type: ignore[arg-type]


def test_a_cell_is_trained_and_evaluated_on_its_rows_only(tiny: Any, home: Path) -> None:
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 0.001, "max_length": 40, "sample": 0.5}
    worker, made = cells(tiny(train_size=20, training=training), home)
    cell = made["csv@20"]
    assert run_training(worker, cell, lambda *_: None) == "done"
    record = worker.store.record(cell.uid)
    assert record is not None
    predictions = worker.store.frame(cell.uid, "predictions").query("split == 'train'")
    inputs = worker.inputs(cell.problem)
    drawn = Batches(inputs.splits["train"], cell.training, cell.streams).examples
    assert len(drawn) == 10
    assert max(drawn) < 20
    assert predictions["example"].tolist() == drawn.tolist()
    assert predictions["label"].tolist() == inputs.data.splits["train"]["label"].iloc[drawn].tolist()
    assert record.summary["planned_steps"] == 2 * 2
    assert planned_steps(cell.training, inputs.data, inputs.tokenizer, 20) == 2 * 2


@pytest.mark.parametrize("size", [1, 4])
def test_an_epoch_of_a_stream_reads_so_many_blocks_from_its_start(tiny: Any, home: Path, size: int) -> None:
    training = {**LANGUAGE["training"], "epochs": 3, "batch_size": 1}
    training.pop("steps")
    worker, made = cells(tiny(**{**LANGUAGE, "training": training}, train_size=[size, "all"]), home)
    cut, whole = (worker.inputs(made[label].problem).splits["train"] for label in (f"text@{size}", "text"))
    assert isinstance(cut, Stream)
    assert isinstance(whole, Stream)
    np.testing.assert_array_equal(cut.ids, whole.ids[: (size + 1) * 32])
    assert {cut.blocks(offset) for offset in range(32)} == {size}
    cell = made[f"text@{size}"]
    assert len(Batches(cut, cell.training, cell.streams).examples) == size
    assert run_training(worker, cell, lambda *_: None) == "done"
    predictions = worker.store.frame(cell.uid, "predictions").query("split == 'train'")
    assert predictions["example"].tolist() == list(range(size))
    record, inputs = worker.store.record(cell.uid), worker.inputs(cell.problem)
    assert record is not None
    assert record.summary["planned_steps"] == 3 * size
    assert planned_steps(cell.training, inputs.data, inputs.tokenizer, size) == 3 * size


def test_the_scratch_base_of_a_small_set_is_pretrained_on_everything(tiny: Any, home: Path) -> None:
    models = [{"scratch:bert-tiny": {**TINY, "pretrain_steps": 3}}]
    worker, made = cells(tiny(train_size=[10, "all"], models=models), home)
    base = made["csv@10"].problem.base
    assert base is not None
    assert len(worker.inputs(base.problem).splits["train"]) == 96  # type: ignore[arg-type]
    assert run_base(worker, base, lambda *_: None) == "done"
    assert run_training(worker, made["csv@10"], lambda *_: None) == "done"
    assert run_training(worker, made["csv"], lambda *_: None) == "done"
