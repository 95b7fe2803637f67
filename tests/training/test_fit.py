"""Training one cell: dropout is really on, masks differ, resumes are bit-exact, selection sees validation only."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import CellError
from harness.regimes.parse import parse_regime
from harness.regimes.sites import Sites, install
from harness.spec.cells import TrainingCell
from harness.spec.expand import expand
from harness.spec.grid import Training
from harness.spec.load import parse_grid
from harness.spec.steps import evaluation_steps
from harness.store import Store
from harness.training.batches import Batches
from harness.training.cells import Worker, run_base, run_training, start_model
from harness.training.fit import Fit, awakenings
from harness.training.model import objective_of
from harness.training.module import CellModule, Diverged, learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


def make_cell(grid: dict[str, Any], home: Path, regime: str = "standard-0.1") -> tuple[Worker, TrainingCell]:
    store = Store(home / "results")
    expansion = expand(parse_grid(grid, "grid"), store, None)
    return Worker(store), next(cell for cell in expansion.training if cell.regime.name == regime)


def make_fit(worker: Worker, cell: TrainingCell, progress: Any = lambda *_: None, work: str = "work") -> Fit:
    inputs = worker.inputs(cell.problem)
    model = start_model(worker.store, cell, inputs)
    return Fit(
        cell.problem, inputs, model, inputs.splits["train"], objective_of(cell.problem), cell.regime, cell.training,
        cell.learning_rate, cell.streams, worker.store.root / work, progress,
    )  # fmt: skip


def weights(fit: Fit) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in fit.model.named_parameters()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Stop(Exception):
    """A process that dies between two steps."""


@pytest.mark.parametrize("kind", ["classification", "language"])
@pytest.mark.parametrize("died_after", [1, 4, 6, 9])
def test_a_resumed_run_is_bit_equal_to_an_uninterrupted_one(
    tiny: Any, language: dict[str, Any], home: Path, kind: str, died_after: int
) -> None:
    changes = dict(language) if kind == "language" else {}
    changes["training"] = {**changes.get("training", tiny()["training"]), "steps": 11, "evaluate_every": 3}
    changes["regimes"] = {"dynamic": {"all": {"linear": {"start": 0.5, "end": 0.1}}, "identity": 0.05}}
    worker, cell = make_cell(tiny(**changes), home, "dynamic")
    whole = make_fit(worker, cell, work="whole")
    history = whole.run()

    def die(step: int, *_: Any) -> None:
        if step == died_after + 1:
            raise Stop

    first = make_fit(worker, cell, die)
    first.checkpoint_seconds = -1.0  # a checkpoint after every step
    with pytest.raises(Stop):
        first.run()
    second = make_fit(worker, cell)
    resumed = second.run()
    assert second.trainer.global_step == 11
    assert resumed.values == history.values
    assert resumed.rates == history.rates
    assert equal(weights(whole), weights(second))
    assert whole.selection == second.selection


def test_the_same_cell_twice_is_bit_equal_whatever_the_ambient_state(tiny: Any, home: Path) -> None:
    worker, cell = make_cell(tiny(), home)
    results = []
    for ambient in (0, 1):
        torch.manual_seed(ambient)
        fit = make_fit(worker, cell, work=f"work{ambient}")
        fit.run()
        results.append(weights(fit))
    assert equal(*results)


def test_rate_one_at_every_site_does_not_learn(tiny: Any, home: Path) -> None:
    everything = {"all": 1.0, "identity": 1.0}
    training = {"steps": 60, "batch_size": 16, "learning_rate": 0.01, "max_length": 40, "select": "last", "warmup": 0}
    grid = tiny(regimes={"none": {}, "off": everything}, training=training)
    final: dict[str, float] = {}
    for regime in ("none", "off"):
        worker, cell = make_cell(grid, home, regime)
        run_training(worker, cell, lambda *_: None)
        record = worker.store.record(cell.uid)
        assert record is not None
        final[regime] = record.summary["metrics"]["train.accuracy"]
    majority = 0.6  # three of five colours are even
    assert final["off"] <= majority + 0.02
    assert final["none"] > 0.9


def test_a_model_from_pretrained_trains_with_dropout_on(tiny: Any, home: Path) -> None:
    """The trap: `from_pretrained` returns eval mode, and Lightning's `fit` does not call `train()`."""
    worker, cell = make_cell(tiny(), home)
    scratch = start_model(worker.store, cell, worker.inputs(cell.problem))
    folder = home / "checkpoint"
    scratch.save_pretrained(folder)
    loaded = type(scratch).from_pretrained(folder)
    assert not loaded.training
    fit = make_fit(worker, cell)
    fit.model = loaded
    modes: list[bool] = []
    loaded.dropout.register_forward_hook(
        lambda module, _, output: modes.append(module.training and bool((output == 0).any()))
    )
    fit.run()
    assert all(modes[:5])


def test_accumulated_micro_batches_have_different_masks(tiny: Any, home: Path) -> None:
    training = {
        "steps": 1,
        "batch_size": 16,
        "micro_batch_size": 4,
        "max_length": 40,
        "bucketing": False,
        "select": "last",
    }
    worker, cell = make_cell(tiny(training=training, regimes={"half": {"embedding": 0.5}}), home, "half")
    fit = make_fit(worker, cell)
    masks: list[torch.Tensor] = []
    # The embeddings end with their dropout.
    fit.model.bert.embeddings.register_forward_hook(lambda _, __, output: masks.append((output == 0)[:, :10]))
    fit.run()
    assert len(masks) == 4
    assert all(not torch.equal(masks[0], mask) for mask in masks[1:])


def test_accumulation_equals_the_whole_batch_where_nothing_is_dropped(tiny: Any, home: Path) -> None:
    """Micro-batches of unequal token counts: the effective batch is normalised as a whole."""
    results = []
    for micro in (None, 5):
        training = {"steps": 3, "batch_size": 16, "micro_batch_size": micro, "max_length": 40, "select": "last"}
        worker, cell = make_cell(tiny(training=training), home, "none")
        fit = make_fit(worker, cell, work=f"micro{micro}")
        history = fit.run()
        results.append([value for _, name, value in history.values if name == "train.loss"])
    assert results[0] == pytest.approx(results[1], abs=1e-5)


def test_padding_changes_no_logits(tiny: Any, home: Path) -> None:
    """A bucketed, padded row's logits equal its single-row ones within 1e-5, for both families."""
    from harness.training.inputs import collate
    from harness.training.objective import forward

    for family in ("bert", "gpt2"):
        models = [{f"scratch:{family}-tiny": {**tiny()["models"][0]["scratch:bert-tiny"]}}]
        worker, cell = make_cell(tiny(models=models), home, "none")
        inputs = worker.inputs(cell.problem)
        model = start_model(worker.store, cell, inputs).eval()
        split = inputs.splits["train"]
        import numpy as np

        rows = np.arange(12)
        with torch.no_grad():
            together = forward(model, collate(split, rows, inputs, family))
            for row in rows:
                alone = forward(model, collate(split, rows[row : row + 1], inputs, family))
                torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=0)
        assert len(set(split.lengths[rows].tolist())) > 1  # type: ignore[union-attr]


def test_the_best_checkpoint_of_the_validation_split_is_kept(tiny: Any, home: Path) -> None:
    training = {"steps": 12, "batch_size": 16, "learning_rate": 0.01, "max_length": 40, "evaluate_every": 2}
    worker, cell = make_cell(tiny(training=training), home, "none")
    fit = make_fit(worker, cell)
    history = fit.run()
    losses = {step: value for step, name, value in history.values if name == "validation.loss"}
    assert sorted(losses) == [2, 4, 6, 8, 10, 12]
    assert fit.selection is not None
    assert fit.selection.step == min(losses, key=lambda step: losses[step])
    from harness.evaluation.evaluate import evaluate

    again = evaluate(fit.model, fit.inputs.splits["validation"], fit.inputs, "bert", ("accuracy",))
    assert again.metrics["loss"] == losses[fit.selection.step]


def test_early_stopping_stops(tiny: Any, home: Path) -> None:
    training = {"steps": 60, "batch_size": 16, "learning_rate": 1e-12, "max_length": 40, "evaluate_every": 2,
                "select": "validation.accuracy", "early_stopping": 3}  # fmt: skip
    worker, cell = make_cell(tiny(training=training), home, "none")
    fit = make_fit(worker, cell)
    fit.run()
    assert fit.trainer.global_step == 8  # the first validation, then three without a better one


def test_divergence_is_a_result_with_a_reason(tiny: Any, home: Path) -> None:
    training = {"steps": 20, "batch_size": 16, "learning_rate": 1e30, "max_length": 40, "warmup": 0, "clip": 0}
    worker, cell = make_cell(tiny(training=training), home, "none")
    assert run_training(worker, cell, lambda *_: None) == "diverged"
    record = worker.store.record(cell.uid)
    assert record is not None
    assert "loss" in record.reason
    with pytest.raises(Diverged):
        make_fit(worker, cell, work="again").run()


def test_the_rates_that_were_applied_are_the_schedules(tiny: Any, home: Path) -> None:
    grid = tiny(regimes={"dynamic": {"sublayer": {"linear": {"start": 0.5, "end": 0.0}}}})
    worker, cell = make_cell(grid, home, "dynamic")
    fit = make_fit(worker, cell)
    history = fit.run()
    applied = {step: rate for site, step, rate in history.rates if site == "sublayer"}
    assert applied == {step: pytest.approx(0.5 * (1 - step / 6)) for step in range(6)}


def test_an_audit_failure_fails_the_cell(tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, cell = make_cell(tiny(), home)
    fit = make_fit(worker, cell)
    monkeypatch.setattr(CellModule, "on_fit_start", lambda self: self.model.eval())
    with pytest.raises(Exception, match=r"audit: .* is in eval mode"):
        fit.run()


def test_a_mode_left_behind_by_an_evaluation_is_caught(tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = {"steps": 6, "batch_size": 16, "max_length": 40, "evaluate_every": 3}
    worker, cell = make_cell(tiny(training=training), home)
    fit = make_fit(worker, cell)
    original = Fit._validate

    def careless(self: Fit, finished: int) -> None:
        original(self, finished)
        self.model.eval()

    monkeypatch.setattr(Fit, "_validate", careless)
    with pytest.raises(Exception, match=r"audit: .* is in eval mode"):
        fit.run()
    assert fit.trainer.global_step == 3


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"warmup": 2, "decay": "linear"}, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ({"warmup": 0.2, "decay": "none"}, [0.5] + [1.0] * 9),
        ({"warmup": 0, "decay": "cosine", "final_learning_rate": 0.1},
         [0.1 + 0.45 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]),
    ],
)  # fmt: skip
def test_learning_rates(training: dict[str, Any], expected: list[float]) -> None:
    settings = Training.model_validate(training)
    assert [learning_rate(settings, 1.0, step, 10) for step in range(10)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("every", "expected"), [(None, [6, 12, 13]), (5, [5, 10, 13]), (0.5, [6, 13]), (1.0, list(range(1, 14)))]
)
def test_validation_comes_at_fixed_steps_and_at_the_end(
    tiny: Any, home: Path, every: float | None, expected: list[int]
) -> None:
    training = {"steps": 13, "batch_size": 16, "max_length": 40, "evaluate_every": every}
    worker, cell = make_cell(tiny(training=training), home)
    batches = Batches(worker.inputs(cell.problem).splits["train"], cell.training, cell.streams)
    assert list(evaluation_steps(cell.training, batches.per_epoch, batches.total)) == expected


def test_the_mask_level_changes_masks_and_no_other_draw(tiny: Any, home: Path) -> None:
    worker, cell = make_cell(tiny(training={"steps": 3, "batch_size": 16, "max_length": 40}), home)
    other = replace(cell, declared={**cell.declared, "mask": 7})
    fits = [make_fit(worker, c, work=f"w{i}") for i, c in enumerate((cell, other))]
    assert equal(weights(fits[0]), weights(fits[1]))
    for step in range(3):
        for one, two in zip(fits[0].batches.step(step), fits[1].batches.step(step), strict=True):
            assert one.tolist() == two.tolist()
        assert cell.streams.key("mask", step, 0) != other.streams.key("mask", step, 0)
    for fit in fits:
        fit.run()
    assert not equal(weights(fits[0]), weights(fits[1]))


def test_a_regime_without_dropout_is_one_cell_at_every_mask_level(tiny: Any, home: Path) -> None:
    _, cell = make_cell(tiny(), home, "none")
    other = replace(cell, declared={**cell.declared, "mask": 7})
    assert cell.uid == other.uid
    dropped = replace(cell, regime=parse_regime("x", {"all": 0.1}, "x"))
    assert dropped.uid != replace(dropped, declared={**cell.declared, "mask": 7}).uid


def test_the_train_split_of_the_report_is_what_was_trained_on(tiny: Any, home: Path) -> None:
    training = {**tiny()["training"], "sample": 0.25}
    worker, cell = make_cell(tiny(training=training), home, "none")
    run_training(worker, cell, lambda *_: None)
    drawn = make_fit(worker, cell, work="again").batches.examples
    predictions = worker.store.frame(cell.uid, "predictions")
    assert len(drawn) == 24
    assert predictions.query("split == 'train'")["example"].tolist() == sorted(drawn.tolist())
    assert len(predictions.query("split == 'test'")) == 40


def test_each_step_at_which_a_site_wakes_is_audited(tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate that starts at 0 says nothing about whether it can be reached."""
    regime = parse_regime("rising", {"sublayer": {"linear": {"start": 0.0, "end": 0.5}}}, "x")
    assert awakenings(regime, 10) == {1}
    assert awakenings(parse_regime("flat", {"all": 0.1}, "x"), 10) == set()
    grid = tiny(regimes={"rising": {"sublayer": {"linear": {"start": 0.0, "end": 0.5}}}})
    worker, cell = make_cell(grid, home, "rising")
    fit = make_fit(worker, cell)

    def defective(model: Any, regime: Any) -> Sites:
        sites = install(model, regime)
        # What the audit cannot see at step 0: a dropout that ignores its rate.
        model.bert.encoder.layer[0].output.dropout.forward = lambda hidden: hidden
        return sites

    monkeypatch.setattr("harness.training.fit.install", defective)
    with pytest.raises(Exception, match="dropped 0 times, expected 1"):
        fit.run()
    assert fit.trainer.global_step == 1


def test_a_run_that_has_stopped_early_leaves_no_resume_checkpoint_behind_its_stop(tiny: Any, home: Path) -> None:
    training = {"steps": 60, "batch_size": 16, "learning_rate": 1e-12, "max_length": 40, "evaluate_every": 2,
                "select": "validation.accuracy", "early_stopping": 3}  # fmt: skip
    worker, cell = make_cell(tiny(training=training), home, "none")
    first = make_fit(worker, cell)
    first.checkpoint_seconds = -1.0
    history = first.run()
    again = make_fit(worker, cell)  # killed before the cell was stored
    resumed = again.run()
    assert (first.trainer.global_step, again.trainer.global_step) == (8, 8)
    assert resumed.values == history.values


def test_a_damaged_resume_checkpoint_costs_time_and_nothing_else(tiny: Any, home: Path) -> None:
    worker, cell = make_cell(tiny(), home)
    whole = make_fit(worker, cell, work="whole")
    whole.run()

    def die(step: int, *_: Any) -> None:
        if step == 4:
            raise Stop

    fit = make_fit(worker, cell, die)
    fit.checkpoint_seconds = -1.0
    with pytest.raises(Stop):
        fit.run()
    state = fit.checkpoint / "state.json"
    state.write_text(state.read_text()[:100])
    again = make_fit(worker, cell)
    again.run()
    assert equal(weights(whole), weights(again))


def test_a_cell_that_trains_to_other_weights_than_its_stored_texts_is_refused(tiny: Any, home: Path) -> None:
    worker, cell = make_cell(tiny(), home, "none")
    run_training(worker, cell, lambda *_: None)
    record = worker.store.record(cell.uid)
    assert record is not None
    for environment in (record.environment, "elsewhere"):
        summary = {**record.summary, "checkpoint": "other"}
        worker.store.save(replace(record, environment=environment, summary=summary, checksums={}))
        with pytest.raises(CellError, match="this cell gave other weights"):
            run_training(worker, cell, lambda *_: None)


def test_a_masked_batch_without_a_masked_token_is_no_divergence(tiny: Any, home: Path) -> None:
    """97 rows in batches of 32 leave one of a single short row, whose 15 % may well be nothing."""
    models = [{"scratch:bert-tiny": {**tiny()["models"][0]["scratch:bert-tiny"], "pretrain_steps": 30}}]
    (home / "train.csv").write_text("text,label\n" + "".join(f"w{i},{i % 2}\n" for i in range(97)))
    grid = tiny(models=models)
    store = Store(home / "results")
    base = expand(parse_grid(grid, "grid"), store, None).bases[0]
    assert run_base(Worker(store), base, lambda *_: None) == "done"
    losses = store.frame(base.uid, "history")["value"]
    assert (losses == 0).any(), "no batch without a mask was drawn: the test shows nothing"
    assert losses.map(math.isfinite).all()
