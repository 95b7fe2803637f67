import math

import pandas as pd
import pytest
from scipy import stats

from harness.analysis.generalization import COLUMNS, generalization

REGIMES = ["none", "standard"]


def table(training, cells, regimes=REGIMES, reference="none"):
    return generalization(training, cells, reference=reference, regimes=regimes)


def row(found, regime, split="test", metric="loss"):
    rows = found[(found["regime"] == regime) & (found["split"] == split) & (found["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


def interval(values):
    return stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values))


def test_means_gaps_and_differences_by_hand(training, cells):
    found = row(table(training, cells), "standard")
    assert (found["n"], found["mean"], found["sd"]) == (3, pytest.approx(0.5), pytest.approx(0.05))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(interval([0.45, 0.55, 0.50]))
    assert found["gap"] == pytest.approx((0.15 + 0.25 - 0.10) / 3)
    assert (found["gap_low"], found["gap_high"]) == pytest.approx(interval([0.15, 0.25, -0.10]))
    changes = [0.45 - 0.50, 0.55 - 0.70, 0.50 - 0.60]
    assert (found["difference"], found["n_pairs"]) == (pytest.approx(sum(changes) / 3), 3)
    assert (found["difference_low"], found["difference_high"]) == pytest.approx(interval(changes))
    assert found["pair_correlation"] == pytest.approx(stats.pearsonr([0.45, 0.55, 0.50], [0.50, 0.70, 0.60])[0])


def test_the_reference_differs_from_nothing_and_train_has_no_gap(training, cells):
    found = table(training, cells)
    assert row(found, "none")[["difference", "difference_low", "pair_correlation"]].isna().all()
    assert row(found, "none")["n_pairs"] == 0
    assert found.loc[found["split"] == "train", ["gap", "gap_low", "gap_high"]].isna().all().all()


def test_row_order_of_the_store_does_not_matter(training, cells):
    shuffled = table(training.sample(frac=1, random_state=3), cells.sample(frac=1, random_state=4))
    pd.testing.assert_frame_equal(table(training, cells), shuffled, check_exact=True)
    assert list(shuffled.columns) == COLUMNS


def test_order_of_regimes_and_splits(training, cells):
    found = table(training, cells, regimes=["standard", "none"])
    assert list(zip(found["regime"], found["split"], strict=True)) == [
        ("standard", "train"),
        ("standard", "test"),
        ("none", "train"),
        ("none", "test"),
    ]


def test_pairs_are_matched_by_replicate_not_by_position(training, cells):
    lost = training[training["uid"] != "none0"]
    cells.loc[cells["uid"] == "none0", "status"] = "diverged"
    found = row(table(lost, cells), "standard")
    assert (found["n"], found["n_pairs"]) == (3, 2)
    assert found["difference"] == pytest.approx(((0.55 - 0.70) + (0.50 - 0.60)) / 2)


def test_failures_are_counted(training, cells):
    cells.loc[cells["uid"] == "none0", "status"] = "diverged"
    cells.loc[cells["uid"] == "none1", "status"] = "error"
    cells.loc[cells["uid"] == "none2", "status"] = "missing"
    found = row(table(training[~training["uid"].str.startswith("none")], cells), "none")
    assert (found["failed"], found["diverged"], found["missing"], found["n"]) == (2, 1, 1, 0)


def test_an_arm_whose_cells_all_failed_keeps_its_rows(training, cells):
    cells.loc[cells["regime"] == "standard", "status"] = "error"
    found = table(training[training["regime"] == "none"], cells)
    lost = found[found["regime"] == "standard"]
    assert list(lost["split"]) == ["train", "test"]
    assert (lost["n"] == 0).all()
    assert (lost["failed"] == 3).all()
    assert lost[["mean", "sd", "ci_low", "gap", "difference"]].isna().all().all()


def test_a_grid_where_everything_failed_still_has_a_row(training, cells):
    found = table(training.iloc[:0], cells.assign(status="error"))
    assert list(found["regime"]) == REGIMES
    assert (found["failed"] == 3).all()


def test_identical_seed_repeats_are_left_out(training, cells, make_training_row, make_cell_row):
    more = [make_training_row("again", "none", 0, split, "loss", 99.0, repeat=1) for split in ("train", "test")]
    training = pd.concat([training, pd.DataFrame(more)])
    cells = pd.concat([cells, pd.DataFrame([make_cell_row("again", "none", 0)])])
    assert row(table(training, cells), "none")["mean"] == pytest.approx(0.6)


def test_selection_cells_are_left_out(training, cells, make_training_row, make_cell_row):
    more = [make_training_row("chosen", "none", 100, split, "loss", 99.0) for split in ("train", "test")]
    cells = pd.concat([cells, pd.DataFrame([make_cell_row("chosen", "none", 100, kind="selection")])])
    assert row(table(pd.concat([training, pd.DataFrame(more)]), cells), "none")["n"] == 3


def test_one_cell_under_two_replicates_is_one_number(training, cells, make_cell_row):
    """Rate 0 ignores the mask role: the replicates of a mask-only design are one cell, not an sd of 0."""
    copy = training[training["uid"] == "none2"].assign(training_replicate=7)
    cells = pd.concat([cells, pd.DataFrame([make_cell_row("none2", "none", 7)])])
    found = row(table(pd.concat([training, copy]), cells), "none")
    assert (found["n"], found["mean"]) == (3, pytest.approx(0.6))


def test_environments_are_counted(training, cells):
    cells.loc[cells["uid"] == "standard1", "environment"] = "e2"
    found = table(training, cells)
    assert (row(found, "standard")["environments"], row(found, "none")["environments"]) == (2, 1)
    assert row(found, "standard")["pairs_across_environments"] == 1


def test_one_replicate_has_no_interval(training, cells):
    training, cells = (frame[frame["training_replicate"] == 0] for frame in (training, cells))
    found = row(table(training, cells), "standard")
    assert found["n"] == 1
    assert math.isnan(found["sd"])
    assert math.isnan(found["ci_low"])
    assert math.isnan(found["difference_high"])


def test_two_learning_rates_in_an_arm_are_confounded(training, cells):
    training.loc[training["uid"] == "none1", "learning_rate"] = 5e-5
    with pytest.raises(ValueError, match="learning rates"):
        table(training, cells)


def test_contradictions_are_refused(training, cells, make_cell_row, make_training_row):
    with pytest.raises(ValueError, match="reference regime 'never'"):
        table(training, cells, reference="never")
    with pytest.raises(ValueError, match="regime standard, which the grid does not name"):
        table(training, cells, regimes=["none"])
    with pytest.raises(ValueError, match="lacks column value"):
        table(training.drop(columns="value"), cells)
    with pytest.raises(ValueError, match="cell none0, which table 'cells' does not list"):
        table(training, cells[cells["uid"] != "none0"])
    with pytest.raises(ValueError, match="none0 is done but has no row"):
        table(training[training["uid"] != "none0"], cells)
    with pytest.raises(ValueError, match=r"train\.loss is there for 2 of 3 cells"):
        table(training.drop(index=0), cells)
    with pytest.raises(ValueError, match=r"train\.loss of cell none0 is nan"):
        table(training.assign(value=training["value"].where(training.index != 0)), cells)
    other = pd.DataFrame([make_training_row("other", "none", 0, s, "loss", 1.0) for s in ("train", "test")])
    with pytest.raises(ValueError, match="replicate 0 is claimed by several cells"):
        table(pd.concat([training, other]), pd.concat([cells, pd.DataFrame([make_cell_row("other", "none", 0)])]))


def test_the_paired_test_and_how_often_a_regime_wins(training, cells):
    mine = training[training["regime"] == "standard"]
    third = mine.assign(regime="third", uid="third" + mine["uid"], value=mine["value"] + [0.1, 0.0, 0.3, 0.2, 0.1, 0.3])
    more = cells[cells["regime"] == "standard"]
    more = more.assign(regime="third", uid="third" + more["uid"])
    found = table(pd.concat([training, third]), pd.concat([cells, more]), regimes=[*REGIMES, "third"])
    here = found[(found["split"] == "test") & (found["metric"] == "loss")].set_index("regime")
    values = {name: training[(training["regime"] == name) & (training["split"] == "test")]["value"] for name in REGIMES}
    known = stats.ttest_rel(values["standard"], values["none"])
    assert here.loc["standard", "p"] == pytest.approx(known.pvalue)
    both = here.loc[["standard", "third"], "p"]
    assert here.loc[both.idxmin(), "p_adjusted"] == pytest.approx(2 * both.min())
    # Lower is better: .45 < .50, .55 < .70, .50 < .60; the exact interval of three of three.
    low, high = stats.binomtest(3, 3).proportion_ci(0.95, method="exact")
    assert here.loc["standard", ["better", "better_low", "better_high", "reading"]].tolist() == [1.0, low, high, ""]
    assert here.loc["none", ["p", "p_adjusted", "better"]].isna().all()
