"""Random validation windows: where they start, what they cost the other draws, and what a cell stores of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toolbox import LANGUAGE

from harness.errors import CellError, UserError
from harness.evaluation.evaluate import evaluate
from harness.randomness import Streams
from harness.spec.cells import TrainingCell
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, prepare_process, run_training, start_model
from harness.training.fit import Fit
from harness.training.inputs import Stream
from harness.training.model import objective_of
from harness.training.windows import Windows, random_loss, random_windows

TRAINING = {**LANGUAGE["training"], "evaluate_every": 2, "random_windows": 5}


class Stop(Exception):
    """Stands for a killed process."""


def make_cell(grid: dict[str, Any], home: Path) -> tuple[Worker, TrainingCell]:
    store = Store(home / "results")
    return Worker(store), expand(parse_grid(grid, "grid"), store, None).training[-1]


def make_fit(worker: Worker, cell: TrainingCell, work: str = "work", progress: Any = lambda *_: None) -> Fit:
    inputs = worker.inputs(cell.problem)
    prepare_process("cpu")
    model = start_model(worker.store, cell, inputs)
    return Fit(
        cell.problem, inputs, model, inputs.splits["train"], objective_of(cell.problem), cell.regime, cell.training,
        cell.learning_rate, cell.streams, worker.store.root / work, progress,
    )  # fmt: skip


@pytest.fixture
def windowed(tiny: Any, home: Path) -> tuple[Worker, TrainingCell]:
    return make_cell(tiny(**{**LANGUAGE, "training": TRAINING}), home)


def test_every_start_is_drawn_and_every_window_is_whole() -> None:
    """20 starts in 2000 draws: one stays undrawn with probability below 20 * 0.95^2000 < 1e-43 (fixed seed)."""
    made = random_windows(Stream(np.arange(25, dtype=np.int32), 5), 2000, Streams(3), 7)
    assert set(made.starts.tolist()) == set(range(20))
    assert made.blocks(0) == 2000
    for index in range(50):
        np.testing.assert_array_equal(made.window(index, 0), made.starts[index] + np.arange(6))


def test_starts_are_keyed_by_the_step_and_by_all_levels_together() -> None:
    """Whichever role differs, the windows are others: their noise is no role's, and no design charges it to one."""
    stream = Stream(np.arange(500, dtype=np.int32), 5)

    def starts(step: int, **levels: int) -> list[int]:
        drawn: list[int] = random_windows(stream, 20, Streams(3, levels), step).starts.tolist()
        return drawn

    first = starts(7, order=1, init=2)
    assert starts(7, init=2, order=1) == first
    for other in (starts(8, order=1, init=2), starts(7, order=2, init=2), starts(7, order=1, init=3)):
        assert other != first


def test_a_stream_of_one_window_and_a_shorter_one() -> None:
    assert set(random_windows(Stream(np.arange(6, dtype=np.int32), 5), 9, Streams(0), 1).starts.tolist()) == {0}
    with pytest.raises(CellError, match="shorter than one block"):
        random_windows(Stream(np.arange(5, dtype=np.int32), 5), 9, Streams(0), 1)


def test_the_loss_is_the_mean_over_the_windows(windowed: tuple[Worker, TrainingCell]) -> None:
    worker, cell = windowed
    inputs, model = worker.inputs(cell.problem), make_fit(worker, cell).model.eval()
    split = inputs.splits["validation"]
    assert isinstance(split, Stream)
    drawn = random_windows(split, 5, cell.streams, 4)
    by_hand = []
    for start in drawn.starts.tolist():
        ids = torch.tensor(split.ids[start : start + 33].astype(np.int64))
        with torch.no_grad():
            logits = model(input_ids=ids[None, :-1]).logits[0].float()
        by_hand.append(float(torch.nn.functional.cross_entropy(logits, ids[1:])))
    assert random_loss(model, split, inputs, "gpt2", 5, cell.streams, 4) == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_windows_at_the_fixed_starts_give_the_fixed_loss(windowed: tuple[Worker, TrainingCell]) -> None:
    worker, cell = windowed
    inputs, model = worker.inputs(cell.problem), make_fit(worker, cell).model
    split = inputs.splits["validation"]
    assert isinstance(split, Stream)
    fixed = Windows(split.ids, split.block, np.arange(split.blocks(0)) * split.block)
    losses = [evaluate(model, read, inputs, "gpt2", ()).metrics["loss"] for read in (split, fixed)]
    assert losses[0] == losses[1]


def test_windows_leave_every_other_number_alone(tiny: Any, home: Path) -> None:
    values = []
    for count in (0, 5):
        training = {**TRAINING, "random_windows": count}
        worker, cell = make_cell(tiny(**{**LANGUAGE, "training": training}), home)
        history = make_fit(worker, cell, f"work{count}").run().values
        values.append([row for row in history if row[1] != "validation.random_loss"])
        assert len(history) - len(values[-1]) == (3 if count else 0)
    assert values[0] == values[1]


def test_the_global_generators_are_not_touched(windowed: tuple[Worker, TrainingCell]) -> None:
    worker, cell = windowed
    inputs, model = worker.inputs(cell.problem), make_fit(worker, cell).model
    before = torch.get_rng_state().clone()
    random_loss(model, inputs.splits["validation"], inputs, "gpt2", 5, cell.streams, 4)
    assert torch.equal(before, torch.get_rng_state())


def test_a_resumed_run_looks_at_the_same_windows(windowed: tuple[Worker, TrainingCell]) -> None:
    worker, cell = windowed
    whole = make_fit(worker, cell, "whole").run().values

    def die(step: int, *_: Any) -> None:
        if step == 4:
            raise Stop

    fit = make_fit(worker, cell, progress=die)
    fit.checkpoint_seconds = -1.0
    with pytest.raises(Stop):
        fit.run()
    assert make_fit(worker, cell).run().values == whole
    assert sum(name == "validation.random_loss" for _, name, _ in whole) == 3


def test_final_rows_are_the_last_and_the_lowest(windowed: tuple[Worker, TrainingCell]) -> None:
    worker, cell = windowed
    assert run_training(worker, cell, lambda *_: None) == "done"
    curve = worker.store.frame(cell.uid, "history").query("metric == 'validation.random_loss'")
    rows = worker.store.frame(cell.uid, "metrics").query("split == 'validation'").set_index("metric")["value"]
    assert curve["step"].tolist() == [2, 4, 6]
    assert rows["random-loss"] == curve["value"].iloc[-1]
    assert rows["best-random-loss"] == curve["value"].min()
    assert curve["value"].nunique() == 3


def test_only_a_grid_that_asks_has_them_in_its_identity(tiny: Any, home: Path) -> None:
    cells = [
        make_cell(tiny(**{**LANGUAGE, "training": {**TRAINING, "random_windows": count}}), home)[1]
        for count in (0, 5, 6)
    ]
    assert "random_windows" not in cells[0].identity["training"]
    assert cells[1].identity["training"]["random_windows"] == 5
    assert len({cell.uid for cell in cells}) == 3


def test_what_cannot_be_looked_at_is_refused(tiny: Any, home: Path) -> None:
    with pytest.raises(UserError, match=r"training\.random_windows: a classification task has no stream"):
        make_cell(tiny(training={"steps": 6, "max_length": 40, "random_windows": 5}), home)
    with pytest.raises(UserError, match="training: random_windows needs evaluations: give evaluate_every"):
        make_cell(
            tiny(**{**LANGUAGE, "training": {**LANGUAGE["training"], "select": "last", "random_windows": 5}}), home
        )
