"""Several grids as one: what may differ, and what is refused in one line that names grids, key and both values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toolbox import TINY

from harness.errors import UserError
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.spec.merge import merged
from harness.store import Store

Tiny = Callable[..., dict[str, Any]]
STANDARD = {"standard-0.1": {"all": 0.1}}


def expanded(tiny: Tiny, home: Path, **changes: Any) -> Expansion:
    return expand(parse_grid(tiny(**changes), "grid"), Store(home / "results"), None)


def test_one_grid_is_itself(tiny: Tiny, home: Path) -> None:
    one = expanded(tiny, home)
    assert merged([one]) is one


def test_cells_of_two_grids_are_those_of_the_grid_of_both(tiny: Tiny, home: Path) -> None:
    """Regimes apart, one of them in both; more replicates in one."""
    more = {"replicates": {"training": {"count": 3}, "inference": {"count": 2}, "repeats": 0}}
    late = {"late": {"all": {"late": {"rate": 0.2, "after": 0.5}}}}
    one = expanded(tiny, home, name="one", regimes={"none": {}, **STANDARD}, **more)
    two = expanded(tiny, home, name="two", regimes={"none": {}, **late}, **more)
    both = expanded(tiny, home, name="both", regimes={"none": {}, **STANDARD, **late}, **more)
    found = merged([one, two])
    assert found.grid.name == "one+two"
    assert list(found.grid.regimes) == ["none", "standard-0.1", "late"]
    assert list(found.grid.parsed_regimes) == list(found.grid.regimes)
    assert sorted(cell.uid for cell in found.training) == sorted(cell.uid for cell in both.training)
    wider = expanded(tiny, home, name="wider", regimes={"none": {}})
    assert len(merged([one, wider]).training) == len(one.training)


def test_of_two_wishes_the_smaller_difference_counts(tiny: Tiny, home: Path) -> None:
    one = expanded(tiny, home, name="one", resolve={"accuracy": 0.02, "loss": 0.1})
    two = expanded(tiny, home, name="two", resolve={"accuracy": 0.01})
    assert merged([one, two]).grid.resolve == {"accuracy": 0.01, "loss": 0.1}


def test_settings_of_texts_come_together(tiny: Tiny, language: dict[str, Any], home: Path) -> None:
    decoding = language["decoding"]
    changes = {**language, "regimes": {"none": {}}}
    one = expanded(tiny, home, **{**changes, "name": "one", "decoding": {**decoding, "top_k": [1, 5]}})
    two = expanded(tiny, home, **{**changes, "name": "two", "decoding": {**decoding, "top_k": [5, "all"]}})
    both = expanded(tiny, home, **{**changes, "name": "both"})
    found = merged([one, two])
    assert sorted(cell.uid for cell in found.generation) == sorted(cell.uid for cell in both.generation)
    assert found.asked(found.problems[0]) == both.asked(both.problems[0])


def test_a_grid_without_texts_and_one_with_them(tiny: Tiny, language: dict[str, Any], home: Path) -> None:
    one = expanded(tiny, home, **{**language, "name": "one"})
    two = expanded(tiny, home, **{**language, "name": "two", "decoding": None})
    assert len(merged([two, one]).generation) == len(one.generation)


def test_other_tasks_need_nothing_in_common_and_keep_their_skips(
    tiny: Tiny, language: dict[str, Any], home: Path
) -> None:
    """Study seeds and lengths differ; an encoder that cannot generate is skipped in its own grid's regimes only."""
    models = [*tiny()["models"], *language["models"]]
    one = expanded(tiny, home, name="one", regimes={"none": {}})
    two = expanded(tiny, home, **{**language, "name": "two", "models": models, "regimes": STANDARD, "seed": 9})
    found = merged([one, two])
    assert [(skip.task, skip.regime) for skip in found.skipped] == [("text", "standard-0.1")]
    assert len(found.training) == len(one.training) + len(two.training)
    assert found.grid.training_for("text").max_length == 32
    assert found.grid.reference_regime == "none"
    notes = " | ".join(found.notes)
    assert "different reference regimes (none in one, standard-0.1 in two); none is used" in notes
    assert "the analysis draws from that of one" in notes


# What the second grid changes -> what the line must name.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "the same name": ({"name": "one"}, "two grids have the name 'one'"),
    "a regime": (
        {"regimes": {"none": {}, "standard-0.1": {"all": 0.2}}},
        "regimes.standard-0.1.attention.constant.value is 0.1 in one and 0.2 in two",
    ),
    "a regime's setting": (
        {"regimes": {"none": {"weight_decay": 0.1}}},
        "regimes.none.weight_decay is not given in one and 0.1 in two",
    ),
    "the seed": ({"seed": 6}, "csv x scratch:bert-tiny: seed is 5 in one and 6 in two"),
    "the learning rate": (
        {"training": {"learning_rate": 0.002}},
        "training.learning_rate is [0.001] in one and [0.002] in two",
    ),
    "a target": ({"training": {"steps_to_loss": [0.5]}}, "training.steps_to_loss is [] in one and [0.5] in two"),
    "the length": ({"training": {"max_length": 32}}, "max_length is 40 in one and 32 in two"),
    "the data": (
        {"tasks": [{"csv": {"train": "test.csv", "validation": "dev.csv", "test": "test.csv", "label": "label"}}]},
        "csv x scratch:bert-tiny: task.data is",
    ),
    "the model": (
        {"models": [{"scratch:bert-tiny": {**TINY, "layers": 2, "pretrain_steps": 0}}]},
        "csv x scratch:bert-tiny: model.",
    ),
    "the tokenizer": (
        {"models": [{"scratch:bert-tiny": {**TINY, "tokenizer": "bpe", "pretrain_steps": 0}}]},
        "csv x scratch:bert-tiny: ",
    ),
    "the design": (
        {"replicates": {"training": {"count": 2, "design": "crossed", "roles": ["init", "order"]}, "repeats": 0}},
        'replicates.training.design is "joint" in one and "crossed" in two',
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_comparable_is_refused(tiny: Tiny, home: Path, what: str) -> None:
    changes, expected = REFUSED[what]
    if "training" in changes:
        changes = {**changes, "training": {**tiny()["training"], **changes["training"]}}
    one, two = expanded(tiny, home, name="one"), expanded(tiny, home, **{"name": "two", **changes})
    with pytest.raises(UserError) as refusal:
        merged([one, two])
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)
    if what != "the same name":
        assert str(refusal.value).startswith("grids one and two cannot be merged: ")


def test_crossed_designs_must_be_the_same(tiny: Tiny, home: Path) -> None:
    def crossed(name: str, orders: int) -> Expansion:
        design = {"training": {"design": "crossed", "roles": {"init": 2, "order": orders}}, "repeats": 0}
        return expanded(tiny, home, name=name, replicates=design)

    with pytest.raises(UserError, match=r"replicates.training.roles.order is 2 in one and 3 in two"):
        merged([crossed("one", 2), crossed("two", 3)])
    assert len(merged([crossed("one", 2), crossed("two", 2)]).training) == 8


# What the second grid's decoding changes -> what the line must name.
TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "length": ({"max_new_tokens": 9}, "decoding.max_new_tokens is 8 in one and 9 in two"),
    "prompts": ({"prompts": 4}, "decoding.prompts is 6 in one and 4 in two"),
    "other prompts": ({"prompt_tokens": 6}, "digest of the prompts is "),
}


@pytest.mark.parametrize("what", TEXTS)
def test_texts_that_are_not_comparable_are_refused(tiny: Tiny, language: dict[str, Any], home: Path, what: str) -> None:
    """Even where the grids have no setting in common."""
    changes, expected = TEXTS[what]
    decoding = {**language["decoding"], "top_k": ["all"], **changes}
    one = expanded(tiny, home, **{**language, "name": "one", "decoding": {**language["decoding"], "top_k": [5]}})
    two = expanded(tiny, home, **{**language, "name": "two", "decoding": decoding})
    with pytest.raises(UserError) as refusal:
        merged([one, two])
    assert expected in str(refusal.value)


def test_numbers_of_inference_replicates_must_be_the_same(tiny: Tiny, language: dict[str, Any], home: Path) -> None:
    more = {"training": {"count": 2}, "inference": {"count": 4}, "repeats": 0}
    one = expanded(tiny, home, **{**language, "name": "one"})
    two = expanded(tiny, home, **{**language, "name": "two", "replicates": more})
    with pytest.raises(UserError, match=r"replicates.inference.count is 2 in one and 4 in two"):
        merged([one, two])


def test_a_setting_that_every_regime_overrides_may_differ(tiny: Tiny, home: Path) -> None:
    regimes = {"a": {"weight_decay": 0.1}, "b": {"weight_decay": 0.2}}
    training = tiny()["training"]
    one = expanded(tiny, home, name="one", regimes=regimes)
    two = expanded(tiny, home, name="two", regimes=regimes, training={**training, "weight_decay": 0.5})
    assert len(merged([one, two]).training) == len(one.training)
