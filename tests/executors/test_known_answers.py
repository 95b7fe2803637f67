"""Known answers, from the grid file to the tables: real runs of which it is known which die made their numbers.

Only the order of examples makes runs differ here. `none` has no mask, so that its mask levels are one cell. `whisper`
drops a unit with probability 1e-12: its mask levels are cells of their own, each with masks of its own in which nothing
is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from toolbox import LANGUAGE, tiny_grid, write_data

from harness.analysis.factorial import ROLES
from harness.analysis.randomness import randomness
from harness.analysis.roles import MERGED, roles
from harness.analysis.study import Study, study_of
from harness.executors.run import Runner
from harness.spec.load import parse_grid

REGIMES = ["none", "whisper"]
ORDER, MASK = ROLES.index("order"), ROLES.index("mask")
DESIGN = {"design": "crossed", "roles": {"order": 3, "mask": 2}}
DECODING = {**LANGUAGE["decoding"], "top_k": [1, 5], "prompts": 4}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    folder = tmp_path_factory.mktemp("known")
    write_data(folder)
    changes = {
        "regimes": {"none": {}, "whisper": {"all": 1e-12}},
        "replicates": {"training": DESIGN, "inference": {"count": 2}, "repeats": 0},
        "decoding": DECODING,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = Runner(parse_grid(tiny_grid(**{**LANGUAGE, **changes}), "g"), folder, say=lambda _: None).run()
        assert outcome.failed == []
        yield study_of(outcome.tables, reference="none", regimes=REGIMES)


@pytest.fixture(scope="module")
def dice(study: Study) -> pd.DataFrame:
    return randomness(study)


@pytest.fixture(scope="module")
def by_role(study: Study) -> pd.DataFrame:
    found = roles(study.tables["training"], study.tables["cells"], regimes=REGIMES)
    return found[found["metric"] == "loss"]


def test_masks_that_drop_nothing_have_cells_of_their_own(study: Study) -> None:
    counted = study.tables["training"].groupby("regime")["uid"].nunique()
    assert counted.to_dict() == {"none": 3, "whisper": 6}


def test_without_dropout_every_mask_column_is_identical(study: Study) -> None:
    for block in (*study.runs, *study.examples, *study.texts):
        for levels, values in zip(block.roles, block.values, strict=True):
            at = {(run[ORDER], run[MASK]): column for column, run in enumerate(levels) if run}
            assert len(at) == 6
            for order in range(3):
                pair = values[:, at[order, 0]], values[:, at[order, 1]]
                np.testing.assert_array_equal(*pair, err_msg=block.name)


def test_without_dropout_the_mask_is_zero_by_construction(by_role: pd.DataFrame) -> None:
    mask = by_role[(by_role["regime"] == "none") & (by_role["role"] == "mask")]
    assert set(mask["variance"]) == {0.0}
    assert all(MERGED in note for note in mask["note"])


def test_a_role_that_changes_nothing_has_no_variance_and_no_interaction(by_role: pd.DataFrame) -> None:
    mine = by_role[by_role["regime"] == "whisper"].set_index(["split", "role", "quantity"])["variance"]
    for split in by_role["split"].unique():
        assert mine[split, "mask", "main effect"] == 0.0
        assert mine[split, "order x mask", "interaction"] == 0.0
        assert mine[split, "mask", "total"] == 0.0
        assert mine[split, "order", "main effect"] == mine[split, "order", "total"] > 0.0


def test_masks_that_drop_nothing_leave_the_order_s_variance_as_it_is(by_role: pd.DataFrame) -> None:
    # Not to the last bit: a rate above 0 takes attention another way through torch.
    order = by_role[(by_role["role"] == "order") & (by_role["quantity"] == "main effect")]
    found = order.pivot(index="split", columns="regime", values="variance")
    assert found["whisper"].to_list() == pytest.approx(found["none"].to_list(), rel=1e-4)


def test_greedy_texts_have_no_inference_die(dice: pd.DataFrame) -> None:
    texts = dice[(dice["unit"] == "text") & (dice["component"] == "inference") & (dice["metric"] == "nll")]
    greedy, sampled = texts[texts["top_k"] == "1"], texts[texts["top_k"] == "5"]
    assert (len(greedy), len(sampled)) == (2, 2)
    assert set(greedy["variance"]) == set(greedy["score_variance"]) == {0.0}
    assert greedy["ci_low"].isna().all()
    assert greedy["note"].str.contains("greedy").all()
    assert (sampled["variance"] > 0.0).all()


def test_evaluation_has_no_inference_die(dice: pd.DataFrame) -> None:
    rows = dice[(dice["unit"] == "example") & (dice["component"] == "inference")]
    assert len(rows)
    assert set(rows["variance"]) == {0.0}


def test_merged_runs_count_once_in_both_dice(dice: pd.DataFrame) -> None:
    training = dice[(dice["component"] == "training") & (dice["metric"] == "nll") & (dice["top_k"] == "5")]
    assert training.set_index("regime")["n_training"].to_dict() == {"none": 3, "whisper": 6}
    assert all(math.isfinite(value) for value in training["variance"])
