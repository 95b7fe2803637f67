"""The grid file is strict: whatever is wrong is one line with file, key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from toolbox import tiny_grid

from harness.errors import UserError
from harness.spec.load import find_grid, grid_folder, load_grid, parse_grid


def test_a_shipped_grid_is_found_by_name_and_a_path_by_path(tmp_path: Path) -> None:
    assert load_grid("quick").name == "quick"
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(tiny_grid()))
    assert load_grid(str(file)).name == "tiny"


@pytest.mark.parametrize("path", sorted(grid_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_grids_parse_and_are_named_like_their_file(path: Path) -> None:
    assert load_grid(str(path)).name == path.stem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainig": {}}, "trainig: unknown key, did you mean 'training'"),
        ({"training": {"epoch": 1}}, "training.epoch: unknown key, did you mean 'epochs'"),
        ({"replicates": {"traning": {}}}, "replicates.traning: unknown key, did you mean 'training'"),
        ({"decoding": {"topk": [1]}}, "decoding.topk: unknown key, did you mean 'top_k'"),
        ({"training": {"epochs": "three"}}, "training.epochs: must be a number, is 'three'"),
        ({"training": {"epochs": True}}, "training.epochs: must be a number, is 'True'"),
        ({"training": {"epochs": 1, "steps": 5}}, "give epochs or steps, not both"),
        ({"training": {"batch_size": 0}}, "training.batch_size: .*greater than or equal to 1, is '0'"),
        ({"training": {"batch_size": 4, "micro_batch_size": 8}}, "micro_batch_size must not exceed batch_size"),
        ({"training": {"learning_rate": []}}, "training.learning_rate: "),
        ({"training": {"learning_rate": [0.1, -1]}}, "training.learning_rate.1: .*greater than 0"),
        ({"training": {"select": "test.loss"}}, "the other splits must not decide"),
        ({"training": {"select": "last", "early_stopping": 2}}, "early_stopping needs a metric"),
        ({"training": {"sample": 1.5}}, "training.sample: must be 'all', 'bootstrap' or a fraction"),
        ({"regimes": {}}, "regimes: "),
        ({"regimes": {"a": {"all": 1.5}}}, "regimes.a.all: rate 1.5 is not allowed"),
        ({"regimes": {"a b": {}}}, "regimes.a b"),
        ({"reference": "nne"}, "reference: unknown regime 'nne', did you mean 'none'"),
        ({"tasks": []}, "tasks: "),
        ({"tasks": [{"a": {}, "b": {}}]}, "must be a name or one"),
        ({"tasks": ["pydoc", "pydoc"]}, "'pydoc' is listed twice"),
        ({"by_task": {"sst": {}}}, "by_task.sst: no such task"),
        ({"by_task": {"csv": {"step": 5}}}, "by_task.csv.step: unknown key, did you mean 'steps'"),
        ({"decoding": {"top_k": [0]}}, "decoding.top_k.0: must be a whole number from 1 or 'all', is '0'"),
        ({"decoding": {"top_k": [5], "temperature": [0]}}, "decoding.temperature.0: .*greater than or equal to 0.001"),
        ({"seed": -1}, "seed: "),
        ({"seed": "abc"}, "seed: must be a number"),
        ({"name": "../escape"}, "name: "),
        ({"name": "cells"}, "a name that twodice uses itself"),
        ({"replicates": {"training": {"count": 0}}}, "replicates.training.count"),
        ({"keep": "some"}, "keep: "),
        ({"models": [3]}, "models.0: must be a name"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_grid(tiny_grid(**change), "my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "just text", "", "a: !!python/object/apply:os.system ['true']", "\t"])
def test_a_file_that_is_no_grid_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"bad\.yaml: ") as caught:
        load_grid(str(file))
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"name: \xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8"):
        load_grid(str(file))


def test_an_unknown_grid_names_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown grid 'quik', did you mean 'quick'"):
        find_grid("quik")
    with pytest.raises(UserError, match="does not exist"):
        find_grid("no/such.yaml")
    with pytest.raises(UserError, match="unknown grid"):
        find_grid("../quick")


def test_numbers_without_a_point_are_numbers() -> None:
    grid = parse_grid(yaml.safe_load(yaml.safe_dump(tiny_grid())) | {"training": {"learning_rate": "1e-4"}}, "x")
    assert grid.training.learning_rates == (1e-4,)


def test_overrides_change_keys() -> None:
    grid = load_grid("quick", ["training.epochs=1", "regimes={none: {}}", "name=other"])
    assert grid.training.epochs == 1
    assert list(grid.regimes) == ["none"]
    for wrong in ("training.epochs", "=3", "name.x.y=3", "training=[", "training.epoch=3"):
        with pytest.raises(UserError):
            load_grid("quick", [wrong])


def test_a_task_override_replaces_epochs_by_steps() -> None:
    grid = parse_grid(tiny_grid(training={"epochs": 2, "clip": 0.5}, by_task={"csv": {"steps": 7}}), "x")
    training = grid.training_for("csv")
    assert (training.steps, training.epochs, training.clip) == (7, None, 0.5)
    assert grid.training_for("other").epochs == 2


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("name: a\nregimes:\n  std: {all: 0.1}\n  std: {all: 0.2}\n")
    with pytest.raises(UserError, match=r"key 'std' stands twice \(again in line 4\)"):
        load_grid(str(file))
