"""Contrasts by hand and against scipy, their notes, their coverage, and the error rate of a whole family."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulator import block_of, drawn, shape_of, study_of_blocks
from statsmodels.stats.multitest import multipletests

from harness.analysis.blocks import Block, Floats
from harness.analysis.contrast_rows import EQUAL, ISOLATED, SAME_CELLS
from harness.analysis.contrasts import COLUMNS, contrasts, reference_setting
from harness.analysis.means import grand_means

RNG = np.random.default_rng(20)


def runs_block(values: Floats, **fields: Any) -> Block:
    """One value a run: [regimes, replicates]."""
    block: Block = block_of(values[:, None, :, None, None], **{"unit": "split", "metric": "accuracy", **fields})
    return block


def table(*blocks: Block) -> pd.DataFrame:
    return contrasts(study_of_blocks(blocks))


def only(found: pd.DataFrame, **factors: Any) -> Any:
    for name, value in factors.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_regimes_by_hand_and_by_scipy() -> None:
    values = RNG.normal(size=(3, 9)) + np.arange(3)[:, None]
    found = table(runs_block(values))
    assert list(found.columns) == COLUMNS
    assert found["regime"].tolist() == ["regime-1", "regime-2"]
    for number, row in enumerate(found.to_dict("records"), start=1):
        known = stats.ttest_rel(values[number], values[0])
        low, high = known.confidence_interval()
        assert (row["t"], row["p"], row["df"]) == pytest.approx((known.statistic, known.pvalue, 8))
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
        assert row["difference"] == pytest.approx(row["mean"] - row["reference_mean"])
        assert row["correlation"] == pytest.approx(np.corrcoef(values[number], values[0])[0, 1])
        assert row["better"] == (values[number] > values[0]).mean()
        assert (row["n"], row["family_size"], row["sign_flip_smallest"]) == (9, 2, 2 / 2**9)
        assert (row["pairing"], row["note"], row["direction"]) == ("training replicate", "", "higher")
    np.testing.assert_allclose(found["p_adjusted"], multipletests(found["p"], method="holm")[1])


def test_lower_is_better_of_a_loss() -> None:
    values = np.stack([np.arange(4.0), np.arange(4.0) - [1.0, 1.0, 1.0, -1.0]])
    assert only(table(runs_block(values, metric="loss")))["better"] == 0.75


def test_texts_are_paired_over_replicates_and_prompts_at_every_setting() -> None:
    values = RNG.normal(size=(2, 3, 4, 6, 2))
    found = table(block_of(values))
    assert found.groupby("family").size().to_dict() == {"regimes": 3, "settings": 4}
    changes = (values[1] - values[0]).mean(axis=3)
    for place, row in enumerate(found[found["family"] == "regimes"].to_dict("records")):
        means = grand_means(changes[place][None])
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((means.low[0], means.high[0]))
        assert (row["p"], row["n"], row["n_prompts"], row["family_size"]) == (pytest.approx(means.p[0]), 4, 6, 1)
    settings = found[(found["family"] == "settings") & (found["regime"] == "regime-1")]
    assert settings["reference_setting"].eq("k=20").all()
    assert settings["top_k"].tolist() == ["5", "10"]
    assert settings["family_size"].eq(2).all()
    first = grand_means((values[1, 0] - values[1, 2]).mean(axis=2)[None])
    assert settings["ci_low"].iloc[0] == pytest.approx(first.low[0])
    assert settings["pairing"].eq("training replicate, prompt, decode level").all()


def test_an_example_block_replaces_the_runs_and_widens_the_interval() -> None:
    values = RNG.normal(size=(2, 1, 5, 40, 1)) * 3.0
    examples = block_of(values, unit="example", metric="loss")
    runs = block_of(values.mean(axis=3, keepdims=True), unit="split", metric="loss")
    row, alone = only(table(examples, runs)), only(table(runs))
    assert (row["unit"], row["n_prompts"], row["n"]) == ("example", 40, 5)
    assert (alone["unit"], alone["difference"]) == ("split", pytest.approx(row["difference"]))


def test_reference_setting_is_declared() -> None:
    plain, warm = ("all", 1.0, 1.0, 0.0), ("all", 0.7, 1.0, 0.0)
    greedy, forty, nucleus = ("1", 1.0, 1.0, 0.0), ("40", 1.0, 1.0, 0.0), ("all", 1.0, 0.9, 0.0)
    assert reference_setting([greedy, forty, warm, plain, nucleus]) == 3
    assert reference_setting([greedy, ("5", 1.0, 1.0, 0.0), forty]) == 2
    assert reference_setting([greedy, forty, warm, nucleus]) == 1
    assert reference_setting([greedy, warm, ("5", 0.7, 1.0, 0.0)]) == 1
    assert reference_setting([greedy, nucleus]) == 1
    assert reference_setting([greedy]) == 0


def test_what_is_left_out_is_named() -> None:
    values = RNG.normal(size=(2, 1, 5, 6, 2))
    values[1, 0, 4] = math.nan  # this run has no texts
    values[0, 0, 0, 3] = math.nan  # this prompt has no value in a run of the reference
    values[0, 0, 1, 2, 0] = math.nan  # this one has one decode level of two
    row = only(table(block_of(values)), family="regimes")
    assert (row["n"], row["n_prompts"]) == (4, 5)
    assert row["note"] == (
        "left out, without a partner: 0 runs and 1 of the reference; without 1 of 6 prompts, which lack a value in some"
        " pair; unbalanced: prompts have 1 to 2 paired values a run"
    )
    changes = np.nanmean((values[1, 0] - values[0, 0])[:4][:, [0, 1, 2, 4, 5]], axis=2)
    assert row["difference"] == pytest.approx(changes.mean())
    values[1, 0, 0, :4] = math.nan
    lost = only(table(block_of(values)), family="regimes")
    assert math.isnan(lost["ci_low"])
    assert "4 of 6 prompts lack a value in some run: no interval" in lost["note"]


def test_runs_that_never_reach_a_loss_leave_no_test_of_the_others() -> None:
    values = np.array([[20.0, 40.0, 60.0, 40.0, 60.0], [10.0, 20.0, 50.0, math.nan, math.nan]])
    row = only(table(runs_block(values, metric="steps-to-loss-2")))
    assert (row["n"], row["difference"]) == (3, pytest.approx(-40.0 / 3.0))
    assert all(math.isnan(row[name]) for name in ("ci_low", "p", "p_adjusted", "better", "correlation"))
    assert row["note"].startswith("no value: 2 runs and 0 of the reference; a run has no value here")
    values[0, 3:] = math.nan  # in neither arm: these replicates are lost on both sides
    assert only(table(runs_block(values, metric="steps-to-loss-2")))["note"].startswith("no value: 2 runs and 2 of the")


def test_unpaired_runs_are_compared_on_the_prompts_that_all_of_them_have() -> None:
    prompts = np.arange(6.0)  # prompts differ, arms do not
    values = np.full((2, 1, 6, 6, 2), math.nan)
    drawn_ = prompts[:, None] + 0.1 * RNG.normal(size=(6, 6, 2))
    values[0, 0, :3, :4], values[1, 0, 3:, 2:] = drawn_[:3, :4], drawn_[3:, 2:]
    cells = (("a", "b", "c", "", "", ""), ("", "", "", "d", "e", "f"))
    row = only(table(block_of(values, cells=cells)), family="regimes")
    assert row["difference"] == pytest.approx(drawn_[3:, 2:4].mean() - drawn_[:3, 2:4].mean())
    values[0, 0, :, 2:4] = math.nan
    row = only(table(block_of(values, cells=cells)), family="regimes")
    assert math.isnan(row["p"])
    assert row["note"] == "no pair: 3 runs against 3 of the reference; no prompt in common; no interval"


def test_pairs_across_environments_are_named() -> None:
    block = runs_block(RNG.normal(size=(2, 4)))
    mixed = replace(block, environments=(("a",) * 4, ("a", "b", "a", "b")))
    assert only(table(mixed))["note"] == "2 of 4 pairs across environments: their difference is included"


def test_without_pairs_welch_s_t_is_labelled() -> None:
    values = RNG.normal(size=(2, 7))
    values[0, 4:] = values[1, :4] = math.nan
    cells = (("a", "b", "c", "d", "", "", ""), ("", "", "", "", "e", "f", "g"))
    row = only(table(runs_block(values, cells=cells)))
    known = stats.ttest_ind(values[1, 4:], values[0, :4], equal_var=False)
    low, high = known.confidence_interval()
    assert (row["t"], row["p"], row["df"]) == pytest.approx((known.statistic, known.pvalue, known.df))
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((low, high))
    assert (row["pairing"], row["n"]) == ("unpaired", 3)
    assert row["note"] == "no pair: 3 runs against 4 of the reference; Welch's t, given the prompts"
    assert math.isnan(row["correlation"])
    assert math.isnan(row["better"])


def test_same_cells_are_no_contrast_and_no_member_of_the_family() -> None:
    values = RNG.normal(size=(3, 4))
    values[1] = values[0]
    block = runs_block(values)
    found = table(replace(block, cells=(block.cells[0], block.cells[0], block.cells[2])))
    same = only(found, regime="regime-1")
    assert (same["difference"], same["note"]) == (0.0, SAME_CELLS)
    assert math.isnan(same["p"])
    assert found["family_size"].eq(1).all()


def test_equal_differences_have_no_interval() -> None:
    row = only(table(runs_block(np.array([[0.5, 0.7, 0.6], [0.6, 0.8, 0.7]]))))
    assert row["note"] == EQUAL
    assert math.isnan(row["ci_low"])
    assert math.isnan(row["p"])
    assert row["better"] == 1.0


def test_one_pair_says_so() -> None:
    row = only(table(runs_block(np.array([[0.5], [0.6]]))))
    assert (row["note"], row["n"]) == ("1 pair: no interval", 1)


def test_other_role_levels_on_the_other_side_are_refused() -> None:
    block = runs_block(RNG.normal(size=(2, 3)))
    with pytest.raises(ValueError, match="at other levels"):
        table(replace(block, roles=(block.roles[0], block.roles[1][::-1])))


def test_crossed_designs_use_their_roles_and_isolated_ones_have_no_interval() -> None:
    values = RNG.normal(size=(2, 1, 3, 3, 8, 1))
    row = only(table(block_of(values, ("init", "order"), unit="prompt")), family="regimes")
    means = grand_means((values[1] - values[0]).reshape(1, 3, 3, 8))
    assert (row["ci_low"], row["p"], row["n"]) == (pytest.approx(means.low[0]), pytest.approx(means.p[0]), 9)
    assert row[["better", "sign_flip_p"]].isna().all()
    lost = block_of(values, ("init", "order"), unit="prompt")
    lost.values[1, :, 4] = math.nan
    incomplete = only(table(lost), family="regimes")
    assert math.isnan(incomplete["ci_low"])
    assert "crossed design incomplete (8 of 9 runs): no interval" in incomplete["note"]
    alone = only(table(runs_block(RNG.normal(size=(2, 4)), design="isolated")))
    assert alone["note"] == ISOLATED
    assert math.isnan(alone["p"])


def test_runs_that_are_one_cell_count_once() -> None:
    """At rate 0 the mask changes nothing: three replicates are one pair of cells in both regimes."""
    values = np.repeat(RNG.normal(size=(2, 3)), 3, axis=1)
    block = runs_block(values)
    cells = tuple(tuple(f"{name}-{run // 3}" for run in range(9)) for name in block.regimes)
    row = only(table(replace(block, cells=cells)))
    assert row["n"] == 3
    assert row["p"] == pytest.approx(stats.ttest_rel(values[1, ::3], values[0, ::3]).pvalue)


def test_standard_errors_are_no_outcome() -> None:
    block = block_of(RNG.normal(size=(2, 2, 3, 4, 1)), unit="prompt", metric="replicate-distinctness-error")
    assert table(block).empty


DESIGNS: dict[str, tuple[dict[str, Any], dict[str, float], dict[str, Any]]] = {
    "5 runs": (
        {"training": 5},
        {"training": 1.0, "regime x training": 1.0},
        {"unit": "split", "metric": "accuracy"},
    ),
    "8 runs x 30 examples": (
        {"training": 8, "prompts": 30},
        {"training": 1.0, "prompt": 1.0, "regime x training": 0.05, "regime x training x prompt": 1.0},
        {"unit": "example", "metric": "accuracy"},
    ),
    "3 runs x 20 prompts x 2": (
        {"training": 3, "prompts": 20, "decode": 2},
        {"training": 1.0, "prompt": 1.0, "regime x training": 0.2, "regime x prompt": 0.3, "prompt x decode": 1.0}
        | {"regime x training x prompt x decode": 1.0},
        {"unit": "text"},
    ),
    "3 x 3 crossed runs": (
        {"training": {"init": 3, "order": 3}},
        {"init": 1.0, "regime x init": 1.0, "regime x init x order": 0.2},
        {"unit": "split", "metric": "accuracy"},
    ),
}
STUDIES, REGIMES = 1000, 4


# 1,000 studies of 3 contrasts each: the standard error of a coverage of .95 is .004 to .007 (contrasts of one study are
# not independent), that of a family-wise error of .05 .007. The bounds lie 3 and 1.5 of them from what is nominal; with
# fixed seeds the figures are the same in every run.
@pytest.mark.parametrize("design", DESIGNS)
def test_contrasts_cover_and_their_family_errs_rarely(design: str, capsys: pytest.CaptureFixture[str]) -> None:
    shape, variances, fields = DESIGNS[design]
    roles = tuple(shape["training"]) if isinstance(shape["training"], dict) else ()
    values = drawn(shape_of(**shape, regimes=REGIMES), variances, np.random.default_rng(77), studies=STUDIES)
    names = [f"metric-{number}" for number in range(STUDIES)]
    blocks = [block_of(one, roles, **fields | {"metric": name}) for one, name in zip(values, names, strict=True)]
    found = table(*blocks)
    found = found[found["family"] == "regimes"]
    assert len(found) == STUDIES * (REGIMES - 1)
    covered = float(((found["ci_low"] <= 0.0) & (found["ci_high"] >= 0.0)).mean())
    erred = float((found.groupby("metric")["p_adjusted"].min() < 0.05).mean())
    with capsys.disabled():
        print(f"\ncontrasts, {design}: coverage {covered:.3f}, family-wise error {erred:.3f}", end="")
    assert 0.93 <= covered <= 0.97
    assert erred <= 0.06
