"""The grid key `resolve`: differences that a study wants to find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toolbox import tiny_grid

from harness.errors import UserError
from harness.spec.checks import check_resolve
from harness.spec.load import parse_grid


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"accurasy": 0.1}, "grid tiny: resolve: no metric 'accurasy', did you mean 'accuracy'"),
        ({"distinct-22": 0.1}, "resolve: no metric 'distinct-22', did you mean 'distinct-2'"),
        ({"accuracy": 0}, r"resolve.accuracy: .*greater than 0"),
        ({"accuracy": "much"}, "resolve.accuracy: must be a number"),
    ],
)
def test_a_mistake_is_one_line(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_resolve(parse_grid(tiny_grid(tasks=["toy-sentiment"], resolve=wish), "grid.yaml"), "grid tiny")


def test_metrics_of_splits_and_of_texts_may_be_wished_for() -> None:
    wish = {"loss": 0.1, "accuracy": 0.02, "distinct-2": 0.05, "mauve": 0.1, "steps-to-loss-0.5": 10}
    grid = parse_grid(tiny_grid(tasks=["toy-sentiment"], resolve=wish), "grid.yaml")
    check_resolve(grid, "grid tiny")
    assert grid.resolve == wish


def test_a_wish_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    from harness.spec.expand import expand
    from harness.store import Store

    grid = parse_grid(tiny_grid(tasks=["toy-sentiment"], resolve={"los": 0.1}), "grid.yaml")
    with pytest.raises(UserError, match="resolve: no metric 'los'"):
        expand(grid, Store(tmp_path), None)
