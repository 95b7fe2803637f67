"""Published numbers in a grid file: strict, and about arms that the grid has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toolbox import TINY, tiny_grid

from harness.errors import UserError
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.spec.published import published_numbers
from harness.spec.published_forms import PublishedNumber, PublishedOrdering, PublishedValue
from harness.store import Store

SOURCE = {"split": "test", "metric": "loss", "source": "A 2020", "estimator": "last", "same_estimator": False}
VALUE = {**SOURCE, "regime": "none", "value": 1.88}
ORDER = {**SOURCE, "ordering": ["none", "standard-0.1"]}
MODELS = [{"scratch:bert-tiny": TINY}, {"scratch:bert-mini": TINY}]


def numbers(*entries: Any, **changes: Any) -> tuple[PublishedNumber, ...]:
    return published_numbers(parse_grid(tiny_grid(published=list(entries), **changes), "g.yaml"))


def test_task_and_model_are_filled_in_where_there_is_one() -> None:
    value, order = numbers({**VALUE, "spread": 0.1, "n": 5}, ORDER)
    assert isinstance(value, PublishedValue)
    assert isinstance(order, PublishedOrdering)
    assert (value.task, value.model, value.value, value.spread, value.n) == ("csv", "scratch:bert-tiny", 1.88, 0.1, 5)
    assert (order.task, order.ordering) == ("csv", ["none", "standard-0.1"])
    assert isinstance(numbers({**VALUE, "value": 2})[0], PublishedValue)


def test_a_folder_is_named_as_tables_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.setenv("TWODICE_DATA", str(tmp_path / "data"))
    models = ["${TWODICE_DATA}/../models/mine", "org/other"]
    for given in ("mine", models[0]):
        assert numbers({**VALUE, "model": given}, models=models)[0].model == "mine"
    assert numbers({**VALUE, "model": "org/other"}, models=models)[0].model == "org/other"


def test_a_size_of_the_training_set_is_a_task_of_its_own() -> None:
    assert numbers({**VALUE, "task": "csv@10"}, train_size=[10, "all"])[0].task == "csv@10"
    with pytest.raises(UserError, match=r"published\.0\.task: must be given, the grid has several"):
        numbers(VALUE, train_size=[10, "all"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, "must be a mapping with either `regime` and `value`, or `ordering`"),
        ({**VALUE, **ORDER}, "either `regime` and `value`, or `ordering`"),
        ({key: VALUE[key] for key in VALUE if key != "value"}, "either `regime` and `value`, or `ordering`"),
        ({**VALUE, "metrik": "loss"}, r"published\.0\.metrik: unknown key, did you mean 'metric'"),
        ({**ORDER, "spread": 1}, r"published\.0\.spread: unknown key"),
        ({**VALUE, "value": "1.88"}, r"published\.0\.value: .*valid number, is '1.88'"),
        ({**VALUE, "value": float("nan")}, r"published\.0\.value: .*finite number"),
        ({**VALUE, "value": True}, r"published\.0\.value: "),
        ({**VALUE, "spread": -1, "n": 3}, r"published\.0\.spread: .*greater than or equal to 0"),
        ({**VALUE, "spread": 0.1}, "a spread over runs needs n"),
        ({**VALUE, "n": 0}, r"published\.0\.n: "),
        ({**VALUE, "statistic": "median"}, r"published\.0\.statistic: "),
        ({**VALUE, "same_estimator": "perhaps"}, r"published\.0\.same_estimator: "),
        ({**VALUE, "source": ""}, r"published\.0\.source: "),
        ({key: VALUE[key] for key in VALUE if key != "estimator"}, r"published\.0\.estimator: Field required"),
        ({**VALUE, "regime": "nne"}, r"published\.0: unknown regime 'nne', did you mean 'none'"),
        ({**ORDER, "ordering": ["none", "standard"]}, "unknown regime 'standard', did you mean 'standard-0.1'"),
        ({**ORDER, "ordering": ["none"]}, r"published\.0\.ordering: .*at least 2"),
        ({**ORDER, "ordering": ["none", "none"]}, "ordering names an arm twice"),
        ({**VALUE, "task": "cvs"}, r"published\.0\.task: the grid has no 'cvs', did you mean 'csv'"),
        ({**VALUE, "model": "bert-tiny"}, r"published\.0\.model: the grid has no 'bert-tiny'"),
    ],
)
def test_what_is_wrong_is_named(entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        numbers(entry)
    assert str(caught.value).startswith("g.yaml: published.0")
    assert "\n" not in str(caught.value)


def test_a_model_must_be_named_where_there_are_several() -> None:
    with pytest.raises(UserError, match=r"published\.0\.model: must be given, the grid has several \(allowed: scratch"):
        numbers(VALUE, models=MODELS)
    assert numbers({**VALUE, "model": "scratch:bert-mini"}, models=MODELS)[0].model == "scratch:bert-mini"


def test_published_numbers_are_no_part_of_a_cell(data_files: Path, home: Path) -> None:
    plain, named = (
        expand(parse_grid(tiny_grid(**more), "g"), Store(home / "results"), None)
        for more in ({}, {"published": [VALUE, ORDER]})
    )
    assert [cell.uid for cell in plain.cells] == [cell.uid for cell in named.cells]
