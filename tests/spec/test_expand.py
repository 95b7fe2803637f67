"""From a grid to its cells: what is the same experiment, what is not, and what is refused before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toolbox import LANGUAGE, TEXT_TASK, TINY

from harness.errors import UserError
from harness.identity import difference
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.store import Record, Store

Grid = Callable[..., dict[str, Any]]


def expanded(grid: dict[str, Any], home: Path) -> Expansion:
    return expand(parse_grid(grid, "grid"), Store(home / "results"), None)


def uids(grid: dict[str, Any], home: Path) -> list[str]:
    expansion = expanded(grid, home)
    return [cell.uid for cell in (*expansion.training, *expansion.generation)]


def test_the_product_of_the_axes(tiny: Grid, home: Path) -> None:
    expansion = expanded(tiny(**LANGUAGE), home)
    assert len(expansion.training) == 2 * 2
    # k=1 once, k=5 and all for each of two decode levels, human texts once
    assert len(expansion.generation) == 4 * (1 + 2 * 2 + 1)
    assert len({cell.uid for cell in expansion.cells}) == len(expansion.cells)


def test_a_second_expansion_gives_the_same_uids(tiny: Grid, home: Path) -> None:
    assert uids(tiny(**LANGUAGE), home) == uids(tiny(**LANGUAGE), home)


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"description": "x"}, {"keep": "all"}, {"reference": "standard-0.1"}],
)
def test_what_cannot_change_a_number_is_not_in_the_uid(tiny: Grid, home: Path, change: dict[str, Any]) -> None:
    assert uids(tiny(**change), home) == uids(tiny(), home)


def test_more_replicates_keep_the_cells_that_are_there(tiny: Grid, home: Path) -> None:
    more = tiny(**LANGUAGE, replicates={"training": {"count": 3}, "inference": {"count": 4}})
    assert set(uids(tiny(**LANGUAGE), home)) < set(uids(more, home))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seed": 6}, "seed"),
        ({"training": {"steps": 7}}, "training.steps"),
        ({"training": {"batch_size": 8}}, "training.batch_size"),
        ({"training": {"micro_batch_size": 4}}, "training.micro_batch_size"),
        ({"training": {"bucketing": False}}, "training.bucketing"),
        ({"training": {"learning_rate": 0.002}}, "training.learning_rate"),
        ({"training": {"evaluate_every": 2}}, "training.evaluate_every"),
        ({"training": {"max_length": 30}}, "max_length"),
        ({"training": {"precision": "bf16-mixed"}}, "precision"),
        ({"training": {"attention": "eager"}}, "training.attention"),
        ({"training": {"weight_decay": 0.0}}, "training.weight_decay"),
        ({"training": {"select": "validation.accuracy"}}, "training.select"),
        ({"regimes": {"none": {"head": 0.1}}}, "regime.head.constant.value"),
        ({"models": [{"scratch:bert-tiny": {**TINY, "layers": 2, "pretrain_steps": 0}}]}, "model.scratch.layers"),
        ({"models": [{"scratch:bert-tiny": {**TINY, "pretrain_steps": 3}}]}, "base"),
    ],
)
def test_what_can_change_a_number_is_in_the_uid(tiny: Grid, home: Path, change: dict[str, Any], key: str) -> None:
    if "training" in change:
        change = {"training": {**tiny()["training"], **change["training"]}}
    base, changed = (expanded(grid, home).training[0] for grid in (tiny(), tiny(**change)))
    assert base.uid != changed.uid
    assert any(name == key or name.startswith(key) for name in difference(changed.identity, base.identity))


def test_changed_data_is_another_experiment(tiny: Grid, home: Path) -> None:
    before = uids(tiny(), home)
    text = (home / "train.csv").read_text().replace("the red", "the pink", 1)
    (home / "train.csv").write_text(text)
    assert not set(before) & set(uids(tiny(), home))


def test_equal_cells_are_one(tiny: Grid, home: Path) -> None:
    regimes = {
        "none": {},
        "zero": {"all": 0.0},
        "static": {"all": 0.1},
        "flat": {"all": {"linear": {"start": 0.1, "end": 0.1}}},
    }
    expansion = expanded(tiny(regimes=regimes), home)
    assert len(expansion.training) == 8
    assert len({cell.uid for cell in expansion.training}) == 4


def test_k_of_the_whole_vocabulary_is_all_and_greedy_has_one_level(tiny: Grid, home: Path) -> None:
    decoding = {**LANGUAGE["decoding"], "top_k": [1, 5, 10_000, "all"], "temperature": [0.7, 1.0]}
    expansion = expanded(tiny(**{**LANGUAGE, "decoding": decoding}), home)
    settings = {(cell.setting.label, cell.setting.temperature) for cell in expansion.generation}
    assert settings == {("1", 1.0), ("5", 0.7), ("5", 1.0), ("all", 0.7), ("all", 1.0), ("human", 1.0)}
    assert {cell.level for cell in expansion.generation if cell.setting.greedy} == {0}


def test_repeats_are_other_cells_with_the_same_keys(tiny: Grid, home: Path) -> None:
    replicates = {"training": {"count": 1}, "repeats": 1}
    first, second = expanded(tiny(regimes={"a": {"all": 0.1}}, replicates=replicates), home).training
    assert first.uid != second.uid
    assert first.streams.key("mask", 3, 0) == second.streams.key("mask", 3, 0)


def test_a_bert_model_does_not_meet_a_language_task(tiny: Grid, home: Path) -> None:
    both = [{"scratch:bert-tiny": TINY}, *LANGUAGE["models"]]
    expansion = expanded(tiny(**{**LANGUAGE, "models": both}), home)
    assert [(skip.model, "cannot generate" in skip.reason) for skip in expansion.skipped] == [
        ("scratch:bert-tiny", True)
    ]
    assert {cell.problem.model.family for cell in expansion.training} == {"gpt2"}


def test_a_head_only_regime_does_not_meet_a_language_model(tiny: Grid, home: Path) -> None:
    expansion = expanded(
        tiny(**{**LANGUAGE, "regimes": {"none": {}, "head": {"head": 0.5}, "all": {"all": 0.1}}}), home
    )
    assert [skip.regime for skip in expansion.skipped] == ["head"]
    assert {cell.regime.name for cell in expansion.training} == {"none", "all"}
    assert "head" not in next(cell for cell in expansion.training if cell.regime.name == "all").identity["regime"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"max_length": 400}}, "max_length 400 exceeds the 48 positions"),
        ({"training": {"select": "validation.f2"}}, "training.select: no metric 'f2'"),
        ({"tasks": ["sst3"]}, "unknown task 'sst3'"),
        ({"tasks": [{"csv": {"train": "nope.csv", "label": "label"}}]}, "nope.csv"),
        ({"tasks": [{"csv": {"trian": "train.csv"}}]}, "tasks.csv"),
        ({"models": ["scratch:bert-huge"]}, "unknown scratch preset"),
        ({**LANGUAGE, "models": [{"scratch:bert-tiny": TINY}]}, r"no cells: an encoder \(bert\) cannot generate"),
        (
            {**LANGUAGE, "tasks": [{"text": {"train": "train.txt", "validation": "short.txt", "test": "test.txt"}}]},
            "max_length 32: split 'validation' has only",
        ),
        ({**LANGUAGE, "decoding": {"max_new_tokens": 60}}, r"16 prompt tokens \+ 60 new tokens exceed the model's 48"),
        ({**LANGUAGE, "training": {**LANGUAGE["training"], "sample": "bootstrap"}}, "a stream of text has no examples"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    tiny: Grid, home: Path, change: dict[str, Any], message: str
) -> None:
    (home / "short.txt").write_text("the red kettle\n")
    with pytest.raises(UserError, match=message) as caught:
        expanded(tiny(**change), home)
    assert "\n" not in str(caught.value)


def test_a_learning_rate_is_selected_on_validation_with_replicates_of_its_own(tiny: Grid, home: Path) -> None:
    training = {**tiny()["training"], "learning_rate": [0.001, 0.01]}
    grid = tiny(training=training, regimes={"none": {}})
    store = Store(home / "results")
    first = expanded(grid, home)
    assert len(first.selection) == 2
    assert first.training == []
    assert len(first.pending) == 1
    for cell, score in zip(first.selection, (-0.7, -0.3), strict=True):
        assert cell.declared["init"] >= 1_000_000
        summary = {"selection_score": score}
        store.save(Record(cell.uid, "training", "done", cell.identity, summary=summary))
    second = expanded(grid, home)
    assert second.pending == []
    assert {cell.learning_rate for cell in second.training} == {0.01}
    assert {cell.replicate for cell in second.training} == {0, 1}


def test_a_learning_rate_that_diverges_loses(tiny: Grid, home: Path) -> None:
    grid = tiny(training={**tiny()["training"], "learning_rate": [0.001, 0.01]}, regimes={"none": {}})
    store = Store(home / "results")
    slow, fast = expanded(grid, home).selection
    store.save(Record(slow.uid, "training", "done", slow.identity, summary={"selection_score": -9.0}))
    store.save(Record(fast.uid, "training", "diverged", fast.identity))
    assert {cell.learning_rate for cell in expanded(grid, home).training} == {0.001}
    store.save(Record(slow.uid, "training", "diverged", slow.identity))
    nothing = expanded(grid, home)
    assert [(skip.regime, skip.status) for skip in nothing.skipped] == [("none", "diverged")]
    assert nothing.training == []


def test_the_text_task_is_a_language_task(tiny: Grid, home: Path) -> None:
    assert expanded(tiny(**{**LANGUAGE, "tasks": [TEXT_TASK]}), home).problems[0].kind == "language"


def test_another_tokenizer_is_another_experiment(tiny: Grid, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = uids(tiny(), home)
    monkeypatch.setattr("harness.data.assets.TOKENIZER_VERSION", 99)
    assert uids(tiny(), home) == before  # trained anew, to the same tokens: the same experiment
    from harness.data import assets

    whole = assets.corpus
    monkeypatch.setattr("harness.data.assets.corpus", lambda data: [*whole(data), "\u00e9"])
    monkeypatch.setattr("harness.data.assets.TOKENIZER_VERSION", 100)
    assert not set(uids(tiny(), home)) & set(before)


def test_the_default_length_is_three_epochs_under_either_name(tiny: Grid, home: Path) -> None:
    plain = {"batch_size": 16, "max_length": 40}
    assert uids(tiny(training=plain), home) == uids(tiny(training={**plain, "epochs": 3}), home)
