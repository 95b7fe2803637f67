import itertools
import math
import statistics

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analysis.components import components
from harness.analysis.factorial import Factorial
from harness.analysis.roles import ALONE, EQUAL, GIVEN, INTERACTION, MAIN, MERGED, RESIDUAL, TOTAL, roles

REGIMES = ["none", "standard"]
VALUES = np.random.default_rng(7).normal(size=(3, 2, 2)) + 1.0


@pytest.fixture
def study(make_training_row, make_cell_row):
    """Init x order x mask runs of two regimes; `none` has one cell for all masks of a run."""

    def build(design="crossed", values=VALUES):
        rows, cells = [], []
        for regime in REGIMES:
            for replicate, (init, order, mask) in enumerate(itertools.product(*map(range, values.shape))):
                uid = f"{regime}-{init}{order}{mask if regime == 'standard' else ''}"
                value = values[init, order, mask if regime == "standard" else 0]
                levels = {"init": init, "sample": 0, "order": order, "mask": mask, "design": design}
                rows.append({**make_training_row(uid, regime, replicate, "test", "loss", value), **levels})
                cells.append(make_cell_row(uid, regime, replicate))
        return pd.DataFrame(rows), pd.DataFrame(cells)

    return build


def alone(training, cells):
    """The isolated part of a crossed study."""
    kept = training[(training[["init", "order", "mask"]] > 0).sum(axis=1) <= 1].assign(design="isolated")
    return kept, cells[cells["uid"].isin(kept["uid"])]


def pick(found, regime, role, quantity):
    rows = found[(found["regime"] == regime) & (found["role"] == role) & (found["quantity"] == quantity)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_crossed_roles_have_components_interactions_and_totals(study):
    found = roles(*study(), regimes=REGIMES)
    several, totals = components(Factorial(("init", "order", "mask"), VALUES))
    mine = found[found["regime"] == "standard"]
    assert list(zip(mine["role"], mine["quantity"], strict=True)) == [
        *((role, MAIN) for role in ("init", "order", "mask")),
        *((pair, INTERACTION) for pair in ("init x order", "init x mask", "order x mask", "init x order x mask")),
        *((role, TOTAL) for role in ("init", "order", "mask")),
    ]
    columns = ["variance", "low", "high", "share", "share_low", "share_high"]
    order = pick(found, "standard", "order", MAIN)
    expected = several[(1,)]
    assert list(order[columns]) == [getattr(expected, name) for name in columns]
    assert pick(found, "standard", "mask", TOTAL)["variance"] == totals[2].variance
    assert pick(found, "standard", "init x order x mask", INTERACTION)["note"] == RESIDUAL
    assert set(mine["n"]) == {12}


def test_masks_without_dropout_are_zero_by_construction(study):
    found = roles(*study(), regimes=REGIMES)
    for quantity in (MAIN, TOTAL):
        mask = pick(found, "none", "mask", quantity)
        assert (mask["variance"], mask["share"], mask["note"]) == (0.0, 0.0, MERGED)
        assert math.isnan(mask["low"])
    several, _ = components(Factorial(("init", "order"), VALUES[:, :, 0]))
    init = pick(found, "none", "init", MAIN)
    assert (init["n"], init["variance"], init["design"]) == (6, several[(0,)].variance, "crossed init 3 x order 2")


def test_a_role_that_varies_alone_is_the_whole(study):
    training, cells = study()
    kept = training[(training["regime"] == "none") & (training["order"] == 0)]
    found = roles(kept, cells[cells["uid"].isin(kept["uid"])], regimes=REGIMES)
    init = pick(found, "none", "init", MAIN)
    assert (init["share"], init["note"]) == (1.0, ALONE)
    assert init["variance"] == pytest.approx(statistics.variance(VALUES[:, 0, 0]))


def test_an_incomplete_table_gives_reml_estimates_without_intervals(study):
    training, cells = study()
    cells.loc[cells["uid"] == "standard-000", "status"] = "diverged"
    found = roles(training[training["uid"] != "standard-000"], cells, regimes=REGIMES)
    mine = found[found["regime"] == "standard"]
    assert mine[["low", "high", "share_low", "share_high"]].isna().all().all()
    assert set(mine["note"]) == {
        "crossed design incomplete (11 of 12 runs): no interval; REML; 1 runs of this arm have no value"
    }
    assert (mine["variance"] >= 0).all()
    assert mine.loc[mine["quantity"] != TOTAL, "share"].sum() == pytest.approx(1.0)
    init = mine[mine["role"].str.contains("init") & (mine["quantity"] != TOTAL)]
    assert pick(found, "standard", "init", TOTAL)["variance"] == pytest.approx(init["variance"].sum())
    assert found.loc[found["regime"] == "none", "variance"].notna().all()


def test_too_few_runs_for_reml_give_no_numbers(study):
    training, cells = study(values=VALUES[:2])
    cells.loc[cells["uid"] == "standard-000", "status"] = "diverged"
    found = roles(training[training["uid"] != "standard-000"], cells, regimes=REGIMES)
    mine = found[found["regime"] == "standard"]
    assert mine[["variance", "low", "share"]].isna().all().all()
    assert mine["note"].str.startswith("crossed design incomplete (7 of 8 runs)").all()


def test_a_level_that_is_lost_as_a_whole_is_named(study):
    training, cells = study()
    cells.loc[cells["uid"].str.startswith("standard-2"), "status"] = "error"
    found = roles(training[~training["uid"].str.startswith("standard-2")], cells, regimes=REGIMES)
    init = pick(found, "standard", "init", MAIN)
    assert (init["n"], init["note"]) == (8, "4 runs of this arm have no value")


def test_equal_runs_vary_by_nothing(study):
    found = roles(*study(values=np.full((2, 2, 2), 0.25)), regimes=REGIMES)
    mine = found[found["regime"] == "standard"]
    assert (mine["variance"] == 0.0).all()
    assert mine[["low", "share"]].isna().all().all()
    assert set(mine["note"]) == {EQUAL}


def test_isolated_roles_have_a_variance_and_no_share(study):
    found = roles(*alone(*study()), regimes=REGIMES)
    assert set(found["quantity"]) == {GIVEN}
    assert found[["share", "share_low", "share_high"]].isna().all().all()
    init = pick(found, "standard", "init", GIVEN)
    variance = statistics.variance(VALUES[:, 0, 0])
    assert (init["n"], init["variance"]) == (3, pytest.approx(variance))
    low, high = (2 * variance / stats.chi2.ppf(p, 2) for p in (0.975, 0.025))
    assert (init["low"], init["high"]) == (pytest.approx(low), pytest.approx(high))
    assert pick(found, "standard", "mask", GIVEN)["variance"] == pytest.approx(statistics.variance(VALUES[0, 0]))
    assert pick(found, "none", "mask", GIVEN)["note"] == MERGED


def test_joint_has_no_rows(training, cells):
    assert roles(training, cells, regimes=REGIMES).empty
    assert roles(training.iloc[:0].astype(object), cells.assign(status="error"), regimes=REGIMES).empty


def test_row_order_of_the_store_does_not_matter(study):
    training, cells = study()
    shuffled = roles(training.sample(frac=1, random_state=3), cells.sample(frac=1, random_state=4), regimes=REGIMES)
    pd.testing.assert_frame_equal(roles(training, cells, regimes=REGIMES), shuffled, check_exact=True)
