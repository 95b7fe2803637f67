"""The axis `train_size` in a grid: what it makes of cells and labels, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toolbox import LANGUAGE, TINY

from harness.errors import UserError
from harness.executors.jobs import plan_jobs
from harness.executors.run import keep_matching, parse_filters
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.tracking.views import _params

Grid = Callable[..., dict[str, Any]]
PRETRAINED = [{"scratch:bert-tiny": {**TINY, "pretrain_steps": 3}}]


def expanded(grid: dict[str, Any], home: Path) -> Expansion:
    return expand(parse_grid(grid, "grid"), Store(home / "results"), None)


def test_all_is_the_default_and_changes_no_identity(tiny: Grid, home: Path) -> None:
    plain, named = (expanded(grid, home) for grid in (tiny(), tiny(train_size="all")))
    assert [cell.uid for cell in plain.training] == [cell.uid for cell in named.training]
    assert "train_size" not in plain.training[0].identity
    assert {cell.factors["task"] for cell in plain.training} == {"csv"}
    assert plain.notes == named.notes


def test_each_size_has_its_own_cells_and_label(tiny: Grid, home: Path) -> None:
    expansion = expanded(tiny(train_size=[10, 50, "all"]), home)
    assert len({cell.uid for cell in expansion.training}) == len(expansion.training) == 3 * 4
    labels = {cell.factors["task"]: cell.identity.get("train_size") for cell in expansion.training}
    assert labels == {"csv@10": 10, "csv@50": 50, "csv": None}
    assert [cell.uid for cell in expansion.training[-4:]] == [cell.uid for cell in expanded(tiny(), home).training]
    assert any("first n rows by content hash" in note for note in expansion.notes)
    # The plain name stays a parameter of its own beside the size.
    params = _params(expansion.training[0])
    assert (params["task"], params["train_size"]) == ("csv", 10)
    assert _params(expansion.training[-1])["train_size"] == "all"


def test_the_scratch_base_and_the_tokenizer_are_one_for_all_sizes(tiny: Grid, home: Path) -> None:
    expansion = expanded(tiny(train_size=[10, "all"], models=PRETRAINED), home)
    assert [base.uid for base in expansion.bases] == [
        base.uid for base in expanded(tiny(models=PRETRAINED), home).bases
    ]
    assert {cell.identity["base"] for cell in expansion.training} == {expansion.bases[0].uid}
    assert len({cell.identity["tokenizer"] for cell in expansion.training}) == 1
    assert expansion.bases[0].problem.train_size is None


def test_each_size_selects_its_own_learning_rate(tiny: Grid, home: Path) -> None:
    training = {**tiny()["training"], "learning_rate": [0.001, 0.003]}
    expansion = expanded(tiny(train_size=[10, "all"], training=training), home)
    assert [(problem.label, regime.name) for problem, regime in expansion.pending] == [
        ("csv@10", "none"), ("csv@10", "standard-0.1"), ("csv", "none"), ("csv", "standard-0.1"),
    ]  # fmt: skip
    assert len({cell.uid for cell in expansion.selection}) == 2 * 4


def test_blocks_of_a_language_task(tiny: Grid, home: Path) -> None:
    expansion = expanded(tiny(**LANGUAGE, train_size=[4, "all"]), home)
    assert {cell.factors["task"] for cell in expansion.generation} == {"text@4", "text"}
    assert any("an epoch reads n blocks" in note for note in expansion.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_size": [10, 97]}, r"csv x scratch:bert-tiny: train_size 97 is more than the 96 training examples"),
        ({**LANGUAGE, "train_size": 5000}, r"train_size 5000 is more than the \d+ blocks of 32 tokens there are"),
        (
            {**LANGUAGE, "train_size": 4, "models": [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 3}}]},
            r"train_size 4: the scratch base is pretrained on all training texts",
        ),
        ({"train_size": []}, "train_size"),
        ({"train_size": 0}, "train_size.*must be a whole number from 1 or 'all', is '0'"),
        ({"train_size": True}, "train_size.*must be a whole number from 1 or 'all'"),
        ({"train_size": [0.5]}, "train_size.*must be a whole number from 1 or 'all'"),
        ({"train_size": [10, 10]}, "train_size: '10' is listed twice"),
    ],
)
def test_what_is_refused(tiny: Grid, home: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        expanded(tiny(**change), home)


def test_the_largest_size_is_exactly_what_there_is(tiny: Grid, home: Path) -> None:
    assert len(expanded(tiny(train_size=95), home).training) == 4
    with pytest.raises(UserError, match="train_size 96 is all training examples there are: write all"):
        expanded(tiny(train_size=96), home)
    with pytest.raises(UserError, match="blocks of 32 tokens") as told:
        expanded(tiny(**LANGUAGE, train_size=5000), home)
    there = int(str(told.value).split("more than the ")[1].split()[0])
    assert len(expanded(tiny(**LANGUAGE, train_size=there - 1), home).training) == 4
    with pytest.raises(UserError, match="more than"):
        expanded(tiny(**LANGUAGE, train_size=there + 1), home)


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [("csv", {"csv", "csv@10", "csv@50"}), ("csv@10", {"csv@10"}), ("csv@*", {"csv@10", "csv@50"})],
)
def test_only_goes_by_the_name_and_by_the_label(tiny: Grid, home: Path, pattern: str, labels: set[str]) -> None:
    grid = parse_grid(tiny(train_size=[10, 50, "all"]), "grid")
    store = Store(home / "results")
    jobs = keep_matching(plan_jobs(expand(grid, store, None), store), parse_filters([f"task={pattern}"], grid))
    assert {job.cell.problem.label for job in jobs} == labels


def test_only_refuses_a_size_that_the_grid_does_not_have(tiny: Grid) -> None:
    grid = parse_grid(tiny(train_size=[10]), "grid")
    with pytest.raises(UserError, match="no such task in the grid"):
        parse_filters(["task=csv@11"], grid)
