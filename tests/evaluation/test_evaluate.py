"""Evaluation: eval mode, whole splits, losses that equal an independent computation, modes put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toolbox import LANGUAGE

from harness.evaluation.evaluate import evaluate
from harness.evaluation.mode import eval_mode
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, start_model
from harness.training.inputs import Inputs, Stream

pytestmark = pytest.mark.usefixtures("one_thread")


def made(grid: dict[str, Any], home: Path) -> tuple[Any, Inputs]:
    store = Store(home / "results")
    cell = expand(parse_grid(grid, "grid"), store, None).training[0]
    inputs = Worker(store).inputs(cell.problem)
    return start_model(store, cell, inputs), inputs


def test_classification_equals_an_example_by_example_loop(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(), home)
    split: Any = inputs.splits["test"]
    result = evaluate(model, split, inputs, "bert", ("accuracy",))
    model.eval()
    losses, hits = [], []
    with torch.no_grad():
        for row in range(len(split)):
            logits = model(torch.tensor(split.row(row)[None].astype(np.int64))).logits[0].double()
            losses.append(float(torch.logsumexp(logits, 0) - logits[int(split.labels[row])]))
            hits.append(int(logits.argmax()) == int(split.labels[row]))
    assert result.metrics["loss"] == pytest.approx(float(np.mean(losses)), abs=1e-6)
    assert result.metrics["accuracy"] == pytest.approx(float(np.mean(hits)))
    assert result.predictions["example"].tolist() == list(range(len(split)))
    np.testing.assert_allclose(result.predictions["loss"], losses, atol=1e-5)
    assert {"label", "prediction", "score_0", "score_1"} <= set(result.predictions)


def test_a_language_models_loss_is_per_token_over_fixed_windows(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(**LANGUAGE), home)
    split = inputs.splits["test"]
    assert isinstance(split, Stream)
    result = evaluate(model, split, inputs, "gpt2", ())
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(split.ids) - split.block, split.block):
            window = torch.tensor(split.ids[start : start + split.block + 1].astype(np.int64))
            logprobs = model(window[None, :-1]).logits[0].double().log_softmax(-1)
            total -= float(logprobs.gather(1, window[1:, None]).sum())
            count += split.block
    assert result.metrics["loss"] == pytest.approx(total / count, abs=1e-6)
    assert result.metrics["perplexity"] == pytest.approx(np.exp(total / count), rel=1e-5)
    assert len(result.predictions) == (len(split.ids) - 1) // split.block


def test_two_evaluations_are_equal_and_dropout_is_off(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(), home)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    state = torch.get_rng_state()
    one = evaluate(model, inputs.splits["test"], inputs, "bert", ("accuracy",))
    two = evaluate(model, inputs.splits["test"], inputs, "bert", ("accuracy",))
    assert one.metrics == two.metrics
    assert torch.equal(state, torch.get_rng_state())
    assert model.training


def test_modes_are_put_back_one_by_one() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout()).train()
    model[1].eval()
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
    assert [model.training, model[0].training, model[1].training] == [True, True, False]


def test_a_limit_takes_examples_evenly(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(), home)
    result = evaluate(model, inputs.splits["train"], inputs, "bert", ("accuracy",), limit=10)
    rows = result.predictions["example"].to_numpy()
    assert len(rows) == 10
    assert np.ptp(np.diff(rows)) <= 1
