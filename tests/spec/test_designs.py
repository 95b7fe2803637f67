"""Replicate designs: which runs an arm has, which of them designs share, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.spec.cells import TrainingCell
from harness.spec.designs import fewest_levels, replicate_levels
from harness.spec.expand import Expansion, expand
from harness.spec.grid import Training, TrainingReplicates
from harness.spec.load import load_grid, parse_grid
from harness.store import Store

Grid = Callable[..., dict[str, Any]]
CROSSED = {"design": "crossed", "roles": {"init": 2, "order": 3, "mask": 2}}
ROLES = ("init", "sample", "order", "mask", "corrupt")
DROPOUT = {"standard-0.1": {"all": 0.1}}


def levels(training: Training | None = None, **design: Any) -> list[tuple[int, ...]]:
    found = replicate_levels(TrainingReplicates(**design), training or Training(), "grid g")
    return [tuple(run[role] for role in ROLES) for run in found]


def expanded(grid: dict[str, Any], home: Path) -> Expansion:
    return expand(parse_grid(grid, "grid"), Store(home / "results"), None)


def runs(tiny: Grid, home: Path, design: dict[str, Any], **changes: Any) -> list[TrainingCell]:
    replicates = {"training": design, "repeats": 0}
    return expanded(tiny(**{"regimes": DROPOUT, **changes}, replicates=replicates), home).training


def test_joint_has_every_role_at_the_replicate_s_level() -> None:
    assert levels(count=3) == [(0,) * 5, (1,) * 5, (2,) * 5]


def test_isolated_varies_one_role_at_a_time_and_has_the_common_run_once() -> None:
    found = levels(design="isolated", count=3)
    assert found == [
        (0, 0, 0, 0, 0),
        (1, 0, 0, 0, 0),
        (2, 0, 0, 0, 0),
        (0, 0, 1, 0, 0),
        (0, 0, 2, 0, 0),
        (0, 0, 0, 1, 1),  # what collators draw goes with the masks
        (0, 0, 0, 2, 2),
    ]
    assert len(levels(Training(sample="bootstrap"), design="isolated", count=3)) == 9
    assert levels(design="isolated", count=2, roles=["order"]) == [(0, 0, 0, 0, 0), (0, 0, 1, 0, 0)]


def test_crossed_is_the_full_factorial_in_an_order_of_its_own() -> None:
    found = levels(**CROSSED)
    assert len(set(found)) == len(found) == 2 * 3 * 2
    assert found[:3] == [(0, 0, 0, 0, 0), (0, 0, 0, 1, 1), (0, 0, 1, 0, 0)]
    assert found == levels(design="crossed", roles={"mask": 2, "order": 3, "init": 2})
    assert len(levels(design="crossed", roles=["init", "order"], count=4)) == 16


def test_a_role_that_decides_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"grid g: replicates\.training\.roles: 'sample' decides nothing") as caught:
        levels(design="isolated", roles=["init", "sample"])
    assert "\n" not in str(caught.value)
    assert len(levels(Training(sample=0.5), design="crossed", roles={"init": 2, "sample": 2})) == 4


def test_it_is_refused_in_a_grid_too(tiny: Grid, home: Path) -> None:
    with pytest.raises(UserError, match=r"task csv: replicates\.training\.roles: 'sample' decides nothing"):
        runs(tiny, home, {"design": "crossed", "roles": ["init", "sample"]})


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"design": "crossed"}, "crossed needs at least two roles"),
        ({"design": "crossed", "roles": {"init": 4}}, "crossed needs at least two roles"),
        ({"design": "joint", "roles": ["init"]}, "leave roles out"),
        ({"design": "crossed", "roles": {"init": 1, "mask": 2}}, "training.roles: a role that varies needs"),
        ({"design": "crossed", "roles": {"init": True, "mask": 2}}, "training.roles: a role that varies needs"),
        ({"design": "crossed", "roles": {"ini": 2, "mask": 2}}, "each role once, of init, sample, order, mask"),
        ({"design": "crossed", "roles": ["init", "init"]}, "each role once"),
        ({"design": "isolated", "roles": "init"}, "must be a list of roles or levels by role"),
        ({"design": "isolated", "roles": []}, "must be a list of roles"),
        ({"design": "isolated", "roles": ["corrupt"]}, "of init, sample, order, mask"),
        ({"design": "isolated", "roles": {"init": 3}}, "roles must be a list of names"),
        ({"design": "isolated", "count": 1}, "a count of at least 2 levels"),
        ({"design": "crossed", "roles": {"init": 2, "mask": 2}, "count": 3}, "give count or levels by role, not both"),
        ({"design": "nested"}, "replicates.training.design: "),
    ],
)
def test_what_is_wrong_is_named(tiny: Grid, design: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        parse_grid(tiny(replicates={"training": design}), "my.yaml")
    assert "replicates.training" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_designs_share_the_runs_that_are_the_same_experiment(tiny: Grid, home: Path) -> None:
    joint = runs(tiny, home, {"count": 2})
    isolated = runs(tiny, home, {"design": "isolated", "count": 2})
    crossed = runs(tiny, home, CROSSED)
    assert joint[0].uid == isolated[0].uid == crossed[0].uid
    uids = {cell.uid for cell in crossed}
    assert {cell.uid for cell in isolated} < uids
    assert len(uids) == 12
    # joint replicate 1 has every role that decides something at level 1
    (same,) = [cell for cell in crossed if cell.levels == joint[1].levels]
    assert same.uid == joint[1].uid


def test_replicates_count_up_and_the_tables_have_the_levels(tiny: Grid, home: Path) -> None:
    cells = runs(tiny, home, CROSSED)
    assert [cell.replicate for cell in cells] == list(range(12))
    last = cells[-1].factors
    assert [last[role] for role in ("init", "sample", "order", "mask")] == [1, 0, 2, 1]
    assert last["training_replicate"] == 11


def test_one_role_leaves_the_draws_of_the_others_alone(tiny: Grid, home: Path) -> None:
    first, *others = runs(tiny, home, {"design": "isolated", "count": 2})
    for cell in others:
        (varied,) = [role for role in ("init", "order", "mask") if cell.declared[role] == 1]
        for role in ("init", "order", "mask"):
            same = first.streams.key(role, 3, 0) == cell.streams.key(role, 3, 0)
            assert same == (role != varied)


def test_without_dropout_the_mask_levels_are_one_cell(tiny: Grid, home: Path) -> None:
    cells = runs(tiny, home, CROSSED, regimes={"none": {}})
    assert len(cells) == 12
    assert len({cell.uid for cell in cells}) == 6
    assert len({(cell.declared["init"], cell.declared["order"], cell.uid) for cell in cells}) == 6


def test_the_shipped_default_is_joint_with_three_replicates() -> None:
    grid = load_grid("quick")
    assert (grid.replicates.training.design, grid.replicates.training.count) == ("joint", 3)
    assert grid.replicates.repeats == 1


def test_repeats_are_made_for_the_first_arm_with_dropout_only(tiny: Grid, home: Path) -> None:
    regimes = {"none": {}, "zero": {"all": 0.0}, "a": {"all": 0.2}, "b": {"all": 0.1}}
    cells = expanded(tiny(regimes=regimes, replicates={"training": {"count": 2}, "repeats": 2}), home).training
    repeats = [cell for cell in cells if cell.repeat]
    assert [(cell.regime.name, cell.replicate, cell.repeat) for cell in repeats] == [("a", 0, 1), ("a", 0, 2)]
    (first,) = [cell for cell in cells if (cell.regime.name, cell.replicate, cell.repeat) == ("a", 0, 0)]
    assert len({first.uid, *(cell.uid for cell in repeats)}) == 3
    assert all(cell.streams == first.streams for cell in repeats)


def test_without_any_dropout_the_first_arm_is_repeated(tiny: Grid, home: Path) -> None:
    grid = tiny(regimes={"none": {}, "zero": {"all": 0.0}}, replicates={"training": {"count": 1}})
    cells = expanded(grid, home).training
    assert [(cell.regime.name, cell.repeat) for cell in cells] == [("none", 0), ("none", 1), ("zero", 0)]


def test_the_fewest_levels_of_a_role() -> None:
    assert fewest_levels(TrainingReplicates(count=4)) == 4
    assert fewest_levels(TrainingReplicates(**CROSSED)) == 2
    assert fewest_levels(TrainingReplicates(design="isolated", count=5)) == 5
