from __future__ import annotations

import pytest

from harness.identity import canonical, difference, environment_digest, explain, uid


def test_the_order_of_keys_does_not_matter_and_every_value_does() -> None:
    assert uid({"a": 1, "b": {"c": 2, "d": 3}}) == uid({"b": {"d": 3, "c": 2}, "a": 1})
    assert uid({"a": 1}) != uid({"a": 2})
    assert uid({"a": 1}) != uid({"a": "1"})
    assert uid({"a": None}) != uid({})


def test_what_is_not_plain_data_is_refused() -> None:
    with pytest.raises(TypeError):
        canonical({"a": object()})
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})


def test_a_miss_is_explained_by_the_nearest_cell_of_its_kind() -> None:
    wanted = {"kind": "training", "training": {"learning_rate": 0.1, "steps": 5}}
    near = {"kind": "training", "training": {"learning_rate": 0.2, "steps": 5}}
    far = {"kind": "training", "training": {"learning_rate": 0.2, "steps": 6}}
    assert explain(wanted, [far, near]) == "nearest stored cell differs in training.learning_rate 0.2 -> 0.1"
    assert explain(wanted, [{**near, "kind": "base"}]) == "nothing of its kind is stored"


def test_a_key_that_only_one_has_is_a_difference() -> None:
    assert difference({"a": 1, "b": 2}, {"a": 1}) == {"b": (None, 2)}


def test_the_environment_has_a_digest() -> None:
    assert len(environment_digest()) == 12
