"""Every mechanism through the real training loop: finite, logged as applied, resumed bit for bit, its masks keyed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_fit import Stop, equal, make_cell, make_fit, weights
from toolbox import LANGUAGE

from harness.data.tokenizer import SpecialTokens
from harness.inference.cells import stored_model
from harness.regimes.mechanisms import MECHANISMS
from harness.regimes.sites import Sites, install
from harness.training.cells import run_training
from harness.training.fit import Fit

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 7
LINEAR = {"linear": {"start": 0.4, "end": 0.1}}
ARMS: dict[str, dict[str, Any]] = {
    "gaussian": {"sublayer": {"rate": 0.2, "noise": "gaussian"}, "head": {"rate": LINEAR, "noise": "gaussian"}},
    "locked": {"embedding": {"rate": 0.2, "noise": "locked"}, "identity": {"rate": 0.1, "noise": "locked"}},
    "layerdrop": {"layerdrop": LINEAR},
    "stochastic_depth": {"stochastic_depth": {"rate": LINEAR, "depth": "linear"}},
    "drophead": {"drophead": {"rate": 0.3, "depth": [1.0, 0.5]}},
    "token_dropout": {"token_dropout": {"early": {"rate": 0.3, "until": 0.9}}},
    "mixout": {"mixout": 0.7},
    "layer_norm_skip": {"layer_norm_skip": 0.2},
    "rdrop": {"all": 0.1, "rdrop": 1.0},
    "label_smoothing": {"label_smoothing": 0.1},
    "weight_decay": {"weight_decay": 0.3},
    "plateau": {"all": {"plateau": {"start": 0.4, "patience": 1}}, "identity": 0.05},
}


def grid(tiny: Any, mechanism: str, **training: Any) -> dict[str, Any]:
    """A grid of one arm, on a two-layer model of a family that it works on."""
    settings = {"steps": STEPS, "batch_size": 16, "learning_rate": 0.001, "max_length": 40, "evaluate_every": 2}
    family = "gpt2" if MECHANISMS.get(mechanism) and MECHANISMS[mechanism].families == ("gpt2",) else "bert"
    shape = {"layers": 2, "width": 16, "heads": 2, "positions": 48, "tokenizer": "char", "pretrain_steps": 0}
    made: dict[str, Any] = tiny(
        regimes={"arm": ARMS[mechanism]}, models=[{f"scratch:{family}-tiny": shape}], training={**settings, **training}
    )
    return made


def fitted(tiny: Any, home: Path, mechanism: str, work: str = "work", **training: Any) -> Fit:
    worker, cell = make_cell(grid(tiny, mechanism, **training), home, "arm")
    return make_fit(worker, cell, work=work)


def applied(fit: Fit, rows: list[tuple[str, int, float]], steps: int) -> list[dict[str, float]]:
    """Every label's rate at every step, from the rows at which they changed."""
    current: dict[str, float] = {}
    by_step = []
    for step in range(steps):
        current |= {label: rate for label, at, rate in rows if at == step}
        by_step.append(dict(current))
    return by_step


def declared(fit: Fit, step: int, losses: list[float]) -> dict[str, float]:
    """What the regime says of a step, by the labels of the table of rates: the product over the model's two layers."""
    rates = fit.regime.rates(step, STEPS, losses)
    labelled: dict[str, float] = {}
    for site, rate in rates.items():
        factors = {str(layer): fit.regime.factor(site, layer, 2) for layer in (0, 1)}
        if fit.regime.scaled(site):
            labelled |= {f"{site}/{layer}": rate * factor for layer, factor in factors.items()}
        else:
            labelled[site] = rate
    return labelled


def test_every_mechanism_has_an_arm() -> None:
    assert set(ARMS) == {*MECHANISMS, "plateau"}


@pytest.mark.parametrize("mechanism", ARMS)
def test_it_trains_and_the_rates_are_what_was_applied(tiny: Any, home: Path, mechanism: str) -> None:
    fit = fitted(tiny, home, mechanism)
    history = fit.run()
    assert all(math.isfinite(value) for _, _, value in history.values)
    validations = {step: value for step, name, value in history.values if name == "validation.loss"}
    assert list(validations) == [2, 4, 6, 7]
    rows = applied(fit, history.rates, STEPS)
    for step in range(STEPS):
        seen = [value for at, value in validations.items() if at <= step]
        assert rows[step] == declared(fit, step, seen)
    assert len(history.rates) == len({(label, step) for label, step, _ in history.rates})


@pytest.mark.parametrize("died_after", [2, 3, 5])
@pytest.mark.parametrize("mechanism", ["mixout", "plateau", "layerdrop", "rdrop", "layer_norm_skip"])
def test_a_resumed_run_is_bit_equal(tiny: Any, home: Path, mechanism: str, died_after: int) -> None:
    worker, cell = make_cell(grid(tiny, mechanism), home, "arm")
    whole = make_fit(worker, cell, work="whole")
    history = whole.run()

    def die(step: int, *_: Any) -> None:
        if step == died_after + 1:
            raise Stop

    first = make_fit(worker, cell, die)
    first.checkpoint_seconds = -1.0
    with pytest.raises(Stop):
        first.run()
    second = make_fit(worker, cell)
    resumed = second.run()
    assert resumed.values == history.values
    assert resumed.rates == history.rates
    assert equal(weights(whole), weights(second))


@pytest.mark.parametrize("died_after", [1, 4, 5, 6, 9])
def test_a_plateau_with_early_stopping_and_mixout_resumes_bit_equal(tiny: Any, home: Path, died_after: int) -> None:
    made = grid(tiny, "plateau", steps=40, learning_rate=0.02, early_stopping=6, warmup=0)
    made["regimes"] = {"arm": {**ARMS["plateau"], "mixout": {"plateau": {"start": 0.3, "direction": "up"}}}}
    worker, cell = make_cell(made, home, "arm")
    whole = make_fit(worker, cell, work="whole")
    history = whole.run()
    stopped = whole.trainer.global_step
    assert 10 < stopped < 40, "it did not stop early: the test shows nothing"
    assert len({rate for label, _, rate in history.rates if label == "sublayer"}) > 2
    assert len({rate for label, _, rate in history.rates if label == "mixout"}) > 2

    def die(step: int, *_: Any) -> None:
        if step == died_after + 1:
            raise Stop

    first = make_fit(worker, cell, die)
    first.checkpoint_seconds = -1.0
    with pytest.raises(Stop):
        first.run()
    second = make_fit(worker, cell)
    resumed = second.run()
    assert second.trainer.global_step == stopped
    assert resumed.values == history.values
    assert resumed.rates == history.rates
    assert second.selection == whole.selection
    assert equal(weights(whole), weights(second))


def test_a_plateau_moves_when_the_validation_loss_stands_still(tiny: Any, home: Path) -> None:
    """Nothing is learnt: the first validation is the best, and each later one a miss."""
    fit = fitted(tiny, home, "plateau", learning_rate=1e-30)
    history = fit.run()
    moves = [(step, rate) for label, step, rate in history.rates if label == "sublayer"]
    assert moves == [(0, 0.4), (4, 0.2), (6, 0.1)]


def test_a_plateau_is_validated_where_nothing_is_selected(tiny: Any, home: Path) -> None:
    worker, cell = make_cell(
        grid(tiny, "plateau", select="last", evaluate_every=None, epochs=3, steps=None), home, "arm"
    )
    history = make_fit(worker, cell).run()
    assert [step for step, name, _ in history.values if name == "validation.loss"] == [6, 12, 18]


RANDOM = ["gaussian", "locked", "layerdrop", "stochastic_depth", "drophead", "token_dropout", "mixout",
          "layer_norm_skip"]  # fmt: skip


@pytest.mark.parametrize("mechanism", RANDOM)
def test_micro_batches_have_different_masks_that_repeat(
    tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    """Eight micro-batches of one step: the draws of the first carrier differ, and are the same in a second run."""
    draws: list[torch.Tensor] = []

    def watched(model: Any, regime: Any) -> Sites:
        sites = install(model, regime)
        carrier: Any = next(slot.module for slot in reversed(sites.slots) if slot.site in regime.channels)
        draw = carrier.draw

        def record(x: torch.Tensor, rate: float) -> torch.Tensor:
            y: torch.Tensor = draw(torch.ones_like(x), rate)
            draws.append(y[..., :4, :4].clone() if y.ndim >= 2 else y.clone())
            noisy: torch.Tensor = draw(x, rate)
            return noisy

        carrier.draw = record
        return sites

    monkeypatch.setattr("harness.training.fit.install", watched)
    training = {"steps": 1, "micro_batch_size": 2, "select": "last", "bucketing": False, "evaluate_every": None}
    for work in ("one", "two"):
        fitted(tiny, home, mechanism, work, **training).run()
    assert len(draws) == 16
    assert any(not torch.equal(draws[0], draw) for draw in draws[1:8])
    assert all(torch.equal(one, two) for one, two in zip(draws[:8], draws[8:], strict=True))


def test_token_dropout_spares_the_special_tokens_of_a_real_cell(
    tiny: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BERT's configuration does not name [CLS] and [SEP] by itself."""
    made = grid(tiny, "token_dropout", steps=1, select="last", evaluate_every=None)
    made["regimes"] = {"arm": {"token_dropout": 1.0}}
    worker, cell = make_cell(made, home, "arm")
    fit = make_fit(worker, cell)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def watched(model: Any, regime: Any) -> Sites:
        sites = install(model, regime)
        model.get_input_embeddings().register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
        return sites

    monkeypatch.setattr("harness.training.fit.install", watched)
    fit.run()
    special: SpecialTokens = fit.inputs.special
    ids, output = seen[0]
    shown = set(ids[(output != 0).any(dim=-1)].tolist())
    assert {special.cls, special.sep} == shown - {special.pad}
    assert len(set(ids.flatten().tolist())) > 10


def test_a_stored_checkpoint_is_read_as_the_model_that_it_is(tiny: Any, home: Path) -> None:
    """The skip of Li and Ke is a part of the model in eval mode too; a checkpoint holds weights only."""
    changes = {
        **LANGUAGE,
        "regimes": {
            "still": {"attention": 0.1, "layer_norm_skip": 0.2},
            "arm": {"layer_norm_skip": 0.2, "attention": {"curriculum": {"end": 0.2}}, "match": {"mean-rate": "still"}},
        },
    }
    worker, cell = make_cell(tiny(**changes), home, "arm")
    ids = torch.arange(4, 16).view(2, 6)
    kept: list[torch.Tensor] = []

    def keep(model: Any, _: Any) -> None:
        with torch.no_grad():
            kept.append(model.eval()(ids).logits)

    assert run_training(worker, cell, lambda *_: None, keep) == "done"
    again = stored_model(worker.store, cell, worker.inputs(cell.problem)).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, kept[0], atol=0, rtol=0)


def test_smoothed_labels_change_the_training_loss_and_no_reported_one(tiny: Any, home: Path) -> None:
    results = {}
    for name, raw in (("plain", {}), ("smooth", {"label_smoothing": 0.5})):
        made = grid(tiny, "label_smoothing", learning_rate=1e-30)
        made["regimes"] = {"arm": raw}
        worker, cell = make_cell(made, home, "arm")
        results[name] = make_fit(worker, cell, work=name).run().values
    plain, smooth = ({(step, name): value for step, name, value in results[key]} for key in ("plain", "smooth"))
    for (step, name), value in plain.items():
        if name == "train.loss":  # not comparable, and so not called the same
            assert smooth[step, "train.objective"] != value
        else:
            assert smooth[step, name] == value
    assert not any(name == "train.loss" for _, name in smooth)


def test_weight_decay_is_an_arm(tiny: Any, home: Path) -> None:
    made = grid(tiny, "weight_decay")
    made["regimes"] = {"none": {}, "arm": ARMS["weight_decay"]}
    worker, cell = make_cell(made, home, "arm")
    _, none = make_cell(made, home, "none")
    assert (cell.training.weight_decay, none.training.weight_decay) == (0.3, 0.01)
    assert cell.identity["training"]["weight_decay"] == 0.3
    assert cell.uid != none.uid
    assert cell.regime.describe() == none.regime.describe() == {}
    fits = [make_fit(worker, one, work=name) for name, one in (("arm", cell), ("none", none))]
    for fit in fits:
        fit.run()
    decays = [{group["weight_decay"] for group in fit.trainer.optimizers[0].param_groups} for fit in fits]
    assert decays == [{0.3, 0.0}, {0.01, 0.0}]
    norms = [np.sqrt(sum(float(p.square().sum()) for p in weights(fit).values() if p.ndim > 1)) for fit in fits]
    assert norms[0] < norms[1]
    same = replace(cell, training=none.training)
    assert same.uid == none.uid
