"""The table `regimes`: what the names of a grid mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from harness.spec.load import parse_grid
from harness.store.regimes import REGIMES, regimes_table


def test_a_row_per_regime_in_the_order_of_the_grid(tiny: Callable[..., dict[str, Any]]) -> None:
    regimes = {"plain": {}, "decay": {"weight_decay": 0.5}, "late": {"all": {"late": {"rate": 0.3}}}}
    table = regimes_table(parse_grid(tiny(regimes=regimes, reference="late"), "grid"))
    assert list(table.columns) == REGIMES
    assert list(table["regime"]) == ["plain", "decay", "late"]
    assert list(table["kind"]) == ["none", "weight-decay", "late"]
    assert list(table["reference"]) == [False, False, True]
    assert table["weight_decay"].isna().tolist() == [True, False, True]
    assert list(table["highest_rate"]) == [0.0, 0.0, 0.3]
    assert json.loads(table["definition"][1]) == {"weight_decay": 0.5}
    assert json.loads(table["definition"][2])["attention"] == {"late": {"rate": 0.3, "after": 0.5}}


def test_the_first_is_the_reference_where_none_is_named(tiny: Callable[..., dict[str, Any]]) -> None:
    table = regimes_table(parse_grid(tiny(regimes={"a": {"all": 0.1}, "b": {}}), "grid"))
    assert list(table["reference"]) == [True, False]


def test_weight_decay_must_exceed_that_of_every_task(tiny: Callable[..., dict[str, Any]]) -> None:
    grid = tiny(regimes={"none": {}, "decay": {"weight_decay": 0.1}})
    assert list(regimes_table(parse_grid(grid, "grid"))["kind"]) == ["none", "weight-decay"]
    task = grid["tasks"][0]
    name = task if isinstance(task, str) else next(iter(task))
    grid["by_task"] = {name: {"weight_decay": 0.2}}
    assert list(regimes_table(parse_grid(grid, "grid"))["kind"]) == ["none", "other"]
