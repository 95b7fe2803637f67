"""Published numbers of generated texts in a grid file: strict, and about settings that the grid has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toolbox import LANGUAGE, tiny_grid

from harness.errors import UserError
from harness.request import HUMAN, Setting
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.spec.published import published_numbers
from harness.spec.published_forms import PublishedNumber, PublishedTextOrdering, PublishedTextValue
from harness.store import Store

SOURCE = {"source": "A 2020", "estimator": "one run", "same_estimator": False}
TEXTS = {**SOURCE, "regime": "none", "unit": "text", "metric": "distinct-2"}
VALUE = {**TEXTS, "top_k": 5, "value": 0.5}
ORDER = {**TEXTS, "ordering": [{"top_k": 1}, {"top_k": 5}, {"top_k": "all", "temperature": 0.7}]}
DECODING = {**LANGUAGE["decoding"], "temperature": [0.7, 1.0], "also": [{"top_p": 0.95}]}


def numbers(*entries: Any, **changes: Any) -> tuple[PublishedNumber, ...]:
    grid = tiny_grid(**{**LANGUAGE, "decoding": DECODING, "published": list(entries), **changes})
    return published_numbers(parse_grid(grid, "g.yaml"))


def test_a_value_and_an_order_name_settings() -> None:
    value, order = numbers({**VALUE, "rounding": 0.005}, ORDER)
    assert isinstance(value, PublishedTextValue)
    assert isinstance(order, PublishedTextOrdering)
    assert (value.task, value.model, value.unit, value.regimes) == ("text", "scratch:gpt2-tiny", "text", ("none",))
    assert value.settings == (Setting(5),)
    assert order.settings == (Setting(1), Setting(5), Setting(None, 0.7))
    assert (order.margin, order.regimes) == (0.0, ("none",))


def test_settings_have_one_name() -> None:
    human = {**TEXTS, "ordering": [{"top_k": 1, "temperature": 0.7, "top_p": 0.5}, {"top_k": "human"}]}
    (order,) = numbers(human)
    assert isinstance(order, PublishedTextOrdering)
    assert order.settings == (Setting(1), HUMAN)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**VALUE, "split": "test"}, "has `split` .* and `unit` .*: give one of them"),
        ({**VALUE, "unit": "word"}, r"published\.0\.unit: .*'text', 'set' or 'prompt', is 'word'"),
        ({key: VALUE[key] for key in VALUE if key != "top_k"}, r"published\.0\.top_k: Field required"),
        ({key: VALUE[key] for key in VALUE if key != "regime"}, r"published\.0\.regime: Field required"),
        ({**VALUE, "regime": "nne"}, "unknown regime 'nne', did you mean 'none'"),
        (
            {**VALUE, "top_k": 6},
            "the grid has no setting top_k 6 .allowed: top_k 1; top_k 5, temperature 0.7; top_k 5;",
        ),
        ({**VALUE, "temperature": 0.8}, "no setting top_k 5, temperature 0.8"),
        ({**VALUE, "top_p": 0.95}, "no setting top_k 5, top_p 0.95"),
        ({**VALUE, "top_k": "5"}, r"published\.0\.top_k: must be a whole number from 1, 'all' or 'human', is '5'"),
        ({**VALUE, "top_k": True}, r"published\.0\.top_k: must be"),
        ({**VALUE, "topk": 5}, r"published\.0\.topk: unknown key, did you mean 'top_k'"),
        ({**ORDER, "ordering": [{"top_k": 1}]}, r"published\.0\.ordering: .*at least 2"),
        ({**ORDER, "ordering": [{"top_k": 1}, {"topk": 5}]}, r"ordering\.1\.topk: unknown key, did you mean 'top_k'"),
        ({**ORDER, "ordering": ["none", "standard-0.1"]}, r"published\.0\.ordering\.0: "),
        ({**ORDER, "ordering": [{"top_k": 1}, {"top_k": 1, "temperature": 0.7}]}, "ordering names a setting twice"),
        ({**ORDER, "margin": -1}, r"published\.0\.margin: .*greater than or equal to 0"),
        ({**ORDER, "top_k": 5}, r"published\.0\.top_k: unknown key"),
        ({**VALUE, "spread": 0.1}, "a spread over runs needs n"),
    ],
)
def test_what_is_wrong_is_named(entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        numbers(entry)
    assert str(caught.value).startswith("g.yaml: published.0")
    assert "\n" not in str(caught.value)


def test_texts_that_the_grid_does_not_ask_for_are_refused() -> None:
    with pytest.raises(UserError, match=r"published\.0: is of generated texts, but the grid has no `decoding`"):
        numbers(VALUE, decoding=None)
    with pytest.raises(UserError, match="the grid has no setting top_k human"):
        numbers({**VALUE, "top_k": "human"}, decoding={**DECODING, "human": False})


def expanded(home: Path, *entries: Any, **changes: Any) -> list[str]:
    grid = tiny_grid(**{**LANGUAGE, "decoding": DECODING, "published": list(entries), **changes})
    return [cell.uid for cell in expand(parse_grid(grid, "g"), Store(home / "results"), None).cells]


def test_they_are_no_part_of_a_cell(data_files: Path, home: Path) -> None:
    assert expanded(home, VALUE, ORDER, {**VALUE, "metric": "mauve", "unit": "set"}) == expanded(home)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "distinct2"}, r"published\.0: no text metric 'distinct2', did you mean 'distinct-2'"),
        ({"metric": "loss"}, r"published\.0: no text metric 'loss'"),
        ({"unit": "set"}, r"published\.0: distinct-2 has unit text, not set"),
    ],
)
def test_metrics_that_texts_do_not_have_are_refused(data_files: Path, home: Path, changes: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        expanded(home, {**VALUE, **changes})


def test_a_classification_task_has_no_texts(data_files: Path, home: Path) -> None:
    tasks = {key: tiny_grid()[key] for key in ("tasks", "models", "training")}
    with pytest.raises(UserError, match=r"published\.0: task csv is a classification task: it has no generated texts"):
        expanded(home, VALUE, **tasks)
