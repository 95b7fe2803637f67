"""Every claim in worlds where it is true, where it is false, and where noise hides it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd
import pytest
from claim_worlds import LARGE, MODEL, REGIMES, SMALL, World

from harness.analysis.claims import COLUMNS, EVALUATORS, claims
from harness.analysis.claims_of_speed import crossing
from harness.analysis.hypotheses import CONSTRUCTED, HYPOTHESES, VERDICTS
from harness.analysis.study import study_of

ARMS = ("standard", "dynamic", "early", "late", "residual")


def arms(value: float) -> dict[str, float]:
    return dict.fromkeys(ARMS, value)


# In `true` every claim holds but those about models that under-fit, in `false` none; `spread` is what dropout adds at
# each k: the same everywhere is no interaction.
WORLDS = {
    "true": World(
        test=arms(-0.1) | {"decay": -0.09}, train=arms(0.2), small_test={"residual": -0.3}, speed={"dynamic": -30.0},
        heads=0.1, texts=(0.01, 0.01, 0.01),
    ),
    "false": World(
        test=arms(0.3) | {"decay": 0.1, "residual": -0.1}, train=arms(0.4) | {"residual": -0.2},
        small_test={"residual": 0.1}, speed={"dynamic": 30.0}, heads=-0.1, texts=(0.2, 0.4, 0.6),
        loops=(0.06, 0.05, 0.05),
    ),
    "under-fits, early helps": World(train_loss=1.98, test={"early": -0.1}),
    "under-fits, early hurts": World(train_loss=1.98, test={"early": 0.1}),
    "another level, half the loops stay, test hardly worse": World(
        texts=(0.2, 0.2, 0.2), loops=(0.6, 0.4, 0.4), test={"standard": 0.01}, train={"standard": 0.3}
    ),
    "noisy": World(noise=1.0, replicates=3, seed=3),
    "noisy, under-fits": World(train_loss=1.98, noise=0.02, replicates=3, seed=3),
}  # fmt: skip
# claim -> (the task that it is judged on, its true, false and noisy world)
CASES = {
    one.id: (SMALL if one.id.startswith("residual") else LARGE, "true", "false", "noisy")
    for one in HYPOTHESES
    if one.kind != CONSTRUCTED
}
CASES["early-underfitting"] = (LARGE, "under-fits, early helps", "under-fits, early hurts", "noisy, under-fits")


@cache
def table_of(world: str) -> pd.DataFrame:
    return claims(WORLDS[world].study())


def rows_of(table: pd.DataFrame, claim: str, task: str = LARGE) -> list[dict[Any, Any]]:
    return table[(table["claim"] == claim) & (table["task"] == task)].to_dict("records")


def verdicts(table: pd.DataFrame, claim: str, task: str = LARGE) -> set[str]:
    return {row["verdict"] for row in rows_of(table, claim, task)}


def test_every_claim_has_a_world_and_an_evaluator() -> None:
    declared = [one.id for one in HYPOTHESES]
    assert len(set(declared)) == len(declared)
    assert set(declared) == set(EVALUATORS)
    assert all(one.statement and one.holds for one in HYPOTHESES)


@pytest.mark.parametrize("claim", CASES)
def test_a_true_claim_is_supported(claim: str) -> None:
    task, true, _, _ = CASES[claim]
    assert verdicts(table_of(true), claim, task) == {"supported"}


@pytest.mark.parametrize("claim", CASES)
def test_a_false_claim_is_not_supported(claim: str) -> None:
    task, _, false, _ = CASES[claim]
    assert verdicts(table_of(false), claim, task) == {"not supported"}


@pytest.mark.parametrize("claim", CASES)
def test_noise_leaves_a_claim_undecided(claim: str) -> None:
    task, _, _, noisy = CASES[claim]
    assert verdicts(table_of(noisy), claim, task) == {"undecided"}


def test_what_the_margins_and_parts_of_a_claim_mean() -> None:
    """Each of these would have the other verdict without its margin, or with another one of its parts."""
    table = table_of("another level, half the loops stay, test hardly worse")
    assert verdicts(table, "diversity-small") == {"not supported"}
    assert verdicts(table, "interaction-small") == {"supported"}
    assert verdicts(table, "greedy-loops") == {"not supported"}
    row = rows_of(table, "dropout-generalises")[0]
    assert (row["regime"], row["verdict"]) == ("standard", "supported")


def test_an_arm_that_is_the_same_runs_is_not_compared() -> None:
    study = World(small_test={"residual": -0.1}).study()
    names = {f"{SMALL}-residual-{place}": f"{SMALL}-none-{place}" for place in range(8)}
    texts = study.tables["generation_metrics"]
    tables = {
        **study.tables,
        "training": study.tables["training"].replace({"uid": names}),
        "cells": study.tables["cells"].replace({"uid": names}),
        "generation_metrics": texts[~texts["training_uid"].isin(names)],
    }
    training = tables["training"]
    first = training[training["regime"] == "none"].set_index(["uid", "split", "metric"])["value"]
    same = (training["regime"] == "residual") & (training["task"] == SMALL)
    keys = pd.MultiIndex.from_frame(training.loc[same, ["uid", "split", "metric"]])
    tables["training"] = training.assign(
        value=training["value"].mask(same, pd.Series(first.reindex(keys).to_numpy(), training.index[same]))
    )
    row = rows_of(claims(study_of(tables, reference="none", regimes=study.regimes)), "residual-scarce", SMALL)[0]
    assert row["verdict"] == "not applicable"
    assert row["note"] == "the runs of residual are those of none by construction"


def test_replicates_that_are_one_cell_count_once() -> None:
    """Arms that both ignore what the replicates vary have fewer runs than replicates."""
    study = World(small_test={"residual": -0.1}, noise=0.01).study()
    names = {
        f"{SMALL}-{arm}-{place}": f"{SMALL}-{arm}-{place % 4}" for arm in ("none", "residual") for place in range(8)
    }
    training = study.tables["training"].replace({"uid": names}).sort_values("training_replicate", kind="stable")
    firsts = training.groupby(["uid", "repeat", "split", "metric"], dropna=False)["value"].transform("first")
    merged = training["uid"].isin(names.values())
    training = training.assign(value=training["value"].mask(merged, firsts))
    texts = study.tables["generation_metrics"]
    tables = {
        **study.tables,
        "training": training,
        "cells": study.tables["cells"].replace({"uid": names}),
        "generation_metrics": texts[texts["task"] == LARGE],
    }
    row = rows_of(claims(study_of(tables, reference="none", regimes=study.regimes)), "residual-scarce", SMALL)[0]
    assert row["n"] == 4


def test_every_claim_has_a_row_for_every_task_and_model() -> None:
    table = table_of("true")
    assert list(table.columns) == COLUMNS
    assert set(table["verdict"]) <= set(VERDICTS)
    for task in (SMALL, LARGE):
        assert set(table.loc[table["task"] == task, "claim"]) == set(EVALUATORS)
    silent = table[(table["verdict"] == "not applicable") & (table["note"] == "")]
    assert silent.empty


def test_a_grid_without_the_arms_says_so() -> None:
    without = tuple(name for name in REGIMES if name not in ("none", "standard"))
    table = claims(World(without=without).study())
    notes = {row["claim"]: row["note"] for row in table.to_dict("records") if row["task"] == LARGE}
    assert notes["dynamic-faster"] == "the grid has no arm of kind dynamic"
    assert notes["weight-decay-close"] == "the grid has no arm of kind weight-decay"
    assert notes["early-underfitting"] == "the grid has no arm of kind early"


def test_without_kinds_no_claim_is_guessed() -> None:
    study = World().study()
    tables = {name: table for name, table in study.tables.items() if name != "regimes"}
    table = claims(study_of(tables, reference="none", regimes=study.regimes))
    about_kinds = table[~table["claim"].isin(["greedy-loops", "dropout-off", "top-k-untouched", "residual-scarcer"])]
    assert set(about_kinds["verdict"]) == {"not applicable"}
    assert "the store does not say of which kind the regimes are" in set(about_kinds["note"])


def test_verdicts_do_not_depend_on_the_order_of_rows() -> None:
    world = World(test=arms(-0.1), train=arms(0.2), noise=0.05)
    pd.testing.assert_frame_equal(claims(world.study()), claims(world.study(shuffle=1)), check_exact=True)


def test_a_narrower_gap_alone_is_no_generalisation() -> None:
    """Dropout that ruins the training fit narrows the gap."""
    world = World(test={"standard": 0.2}, train={"standard": 0.6})
    row = rows_of(claims(world.study()), "dropout-generalises")[0]
    assert (row["regime"], row["verdict"]) == ("standard", "not supported")
    assert "also gap to train of none - standard, above 0: 0.4" in row["note"]


def test_p_and_interval_of_a_claim_are_those_of_the_paired_t_test() -> None:
    from scipy.stats import ttest_1samp

    study = World(test={"residual": -0.1}, small_test={"residual": -0.1}, noise=0.1).study()
    row = rows_of(claims(study), "residual-scarce", SMALL)[0]
    training = study.tables["training"]
    test = training[(training["task"] == SMALL) & (training["split"] == "test") & (training["repeat"] == 0)]
    wide = test.pivot(index="training_replicate", columns="regime", values="value")
    expected = ttest_1samp(wide["none"] - wide["residual"], 0.0)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx(expected.confidence_interval(), rel=1e-9)


def test_the_fit_rule_decides_which_claim_applies() -> None:
    assert verdicts(table_of("true"), "early-underfitting") == {"not applicable"}
    assert verdicts(table_of("under-fits, early helps"), "late-overfitting") == {"not applicable"}
    neither = claims(World(train_loss=1.85).study())
    for claim in ("early-underfitting", "late-overfitting"):
        assert verdicts(neither, claim) == {"not applicable"}
        assert "-fit here: gap to train 7." in rows_of(neither, claim)[0]["note"]
    unclear = claims(World(train_loss=1.8, noise=0.05, replicates=3).study())
    assert verdicts(unclear, "late-overfitting") == {"undecided"}
    assert "not clear whether none over-fits" in rows_of(unclear, "late-overfitting")[0]["note"]


def test_without_a_validation_curve_nobody_knows_whether_the_loss_rose() -> None:
    study = WORLDS["under-fits, early helps"].study()
    tables = {name: table for name, table in study.tables.items() if name != "history"}
    found = claims(study_of(tables, reference="none", regimes=study.regimes))
    for claim in ("early-underfitting", "late-overfitting"):
        row = rows_of(found, claim)[0]
        assert row["verdict"] == "undecided"
        assert row["note"].endswith("no validation curve")


def test_greedy_texts_belong_to_every_temperature() -> None:
    study = WORLDS["true"].study()
    texts = study.tables["generation_metrics"]
    warm = texts.assign(temperature=texts["temperature"].where(texts["top_k"] == "1", 0.7))
    found = claims(study_of({**study.tables, "generation_metrics": warm}, reference="none", regimes=study.regimes))
    assert verdicts(found, "greedy-loops") == {"supported"}
    assert rows_of(found, "diversity-small")[0]["what"].endswith("within +-0.25 of |k=all T=0.7 - k=1|")


def test_data_is_scarce_at_the_smallest_size_only() -> None:
    rows = rows_of(table_of("true"), "residual-scarce")
    assert [(row["verdict"], row["note"]) for row in rows] == [
        ("not applicable", "data is not scarce here: judged at text@50")
    ]


def test_runs_that_never_reach_a_loss_count_against_their_arm() -> None:
    """The mean of the runs that arrive would call the dynamic arm faster: its slow runs never do."""
    study = World(speed={"dynamic": 150.0, "standard": 60.0}).study()
    row = rows_of(claims(study), "dynamic-faster")[0]
    assert row["verdict"] == "not supported"
    assert row["note"].startswith("dynamic: reached by 0 of 8; standard: reached by 8 of 8")
    assert row["estimate"] == pytest.approx(160.0 - 200.0, abs=3.0)


def test_a_few_runs_that_never_arrive_decide_nothing() -> None:
    study = World(speed={"dynamic": 150.0, "standard": 60.0}, replicates=4).study()
    row = rows_of(claims(study), "dynamic-faster")[0]
    assert row["verdict"] == "undecided"
    assert "fewer than 5 pairs" in row["note"]


def test_few_pairs_are_few_whatever_one_arm_has() -> None:
    study = World(speed={"dynamic": 150.0, "standard": 60.0}).study()
    cells = study.tables["cells"]
    lost = (cells["regime"] == "standard") & (cells["training_replicate"] > 3)
    tables = {**study.tables, "cells": cells.assign(status=cells["status"].mask(lost, "error"))}
    tables["generation_metrics"] = pd.DataFrame()
    row = rows_of(claims(study_of(tables, reference="none", regimes=study.regimes)), "dynamic-faster")[0]
    assert row["verdict"] == "undecided"
    assert "fewer than 5 pairs" in row["note"]


def test_a_loss_that_nobody_reaches_is_not_applicable() -> None:
    row = rows_of(claims(World(speed={"dynamic": 150.0, "standard": 150.0}).study()), "dynamic-faster")[0]
    assert row["verdict"] == "not applicable"
    assert row["note"] == "no run of dynamic and standard reaches loss 2.5"


@pytest.mark.parametrize(("target", "expected"), [(3.0, 10.0), (2.0, 20.0), (1.75, 25.0), (1.5, 30.0), (0.5, 99.0)])
def test_a_crossing_lies_between_evaluations(target: float, expected: float) -> None:
    assert crossing([10.0, 20.0, 30.0, 40.0], [3.0, 2.0, 1.5, 1.8], target, 99.0) == expected


def test_a_curve_without_evaluations_has_no_crossing() -> None:
    assert math.isnan(crossing([], [], 1.0, 99.0))


def test_one_pair_is_undecided() -> None:
    world = World(test=arms(-0.1), train=arms(0.2), replicates=1)
    row = rows_of(claims(world.study()), "dropout-generalises")[0]
    assert (row["verdict"], row["n"]) == ("undecided", 1)
    assert "at least 2 are needed" in row["note"]


def test_pairs_without_spread_are_undecided_and_say_so() -> None:
    world = World(test=arms(-0.125), train=arms(0.25), noise=0.0)
    row = rows_of(claims(world.study()), "dropout-generalises")[0]
    assert row["verdict"] == "undecided"
    assert "no spread to judge by" in row["note"]


def test_adjusted_p_and_more_replicates() -> None:
    table = claims(World(test=arms(-0.1), train=arms(0.2), noise=0.12).study())
    tested = table[table["p"].notna()]
    assert (tested["p_adjusted"] >= tested["p"]).all()
    assert tested.loc[tested["verdict"] != "undecided", "p_adjusted"].le(0.05).all()
    assert tested.loc[tested["verdict"] == "undecided", "p_adjusted"].gt(0.05).all()
    more = tested["more_replicates"]
    assert more[tested["verdict"] != "undecided"].isna().all()
    assert (more.dropna() >= 1).all()
    assert more.notna().any()


def test_what_holds_by_construction_is_checked_and_stands_apart() -> None:
    table = table_of("true")
    constructed = table[table["kind"] == CONSTRUCTED]
    assert set(constructed["verdict"]) == {"supported"}
    assert constructed["p"].isna().all()


def test_a_repeat_that_differs_leaves_the_check_undecided() -> None:
    row = rows_of(claims(World(repeat_differs=0.01).study()), "dropout-off")[0]
    assert row["verdict"] == "undecided"
    assert row["estimate"] == pytest.approx(0.01)


def test_a_metric_that_is_not_there_is_not_applicable() -> None:
    study = World().study()
    training = study.tables["training"]
    changed = study_of(
        {**study.tables, "training": training[training["split"] != "test"]}, reference="none", regimes=study.regimes
    )
    table = claims(changed)
    for claim in ("dropout-generalises", "early-underfitting", "weight-decay-close"):
        assert verdicts(table, claim) == {"not applicable"}
    assert rows_of(table, "residual-scarce", SMALL)[0]["note"] == "no test loss of residual and none"


def test_other_temperatures_are_not_mixed_in() -> None:
    """Of the temperature with most k; at one temperature more, diversity at k = all is another number."""
    study = World(texts=(0.01, 0.01, 0.01)).study()
    texts = study.tables["generation_metrics"]
    hot = texts[texts["top_k"] == "all"].assign(temperature=2.0)
    hot = hot.assign(value=hot["value"] + 5.0 * (hot["regime"] != "none"))
    both = study_of(
        {**study.tables, "generation_metrics": pd.concat([hot, texts])}, reference="none", regimes=study.regimes
    )
    columns = ["estimate", "ci_low", "ci_high", "p", "what"]
    one, other = (pd.DataFrame(rows_of(claims(each), "diversity-small"))[columns] for each in (study, both))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_texts_of_a_repeat_are_compared_too() -> None:
    study = World().study()
    repeat = {"task": LARGE, "model": MODEL, "regime": "standard", "repeat": 1, "texts": 10}
    for differing, verdict in ((0, "supported"), (3, "undecided")):
        tables = {**study.tables, "repeated_texts": pd.DataFrame([{**repeat, "differing": differing}])}
        table = claims(study_of(tables, reference="none", regimes=study.regimes))
        row = rows_of(table, "dropout-off")[0]
        assert row["verdict"] == verdict
        assert "every score and 10 texts compared" in row["note"]
        assert rows_of(table, "dropout-off", SMALL)[0]["verdict"] == "supported"


def test_runs_of_two_environments_are_named() -> None:
    study = World().study()
    cells = study.tables["cells"].copy()
    cells.loc[cells["regime"] == "none", "environment"] = "other"
    changed = study_of({**study.tables, "cells": cells}, reference="none", regimes=study.regimes)
    assert "8 pairs across environments" in rows_of(claims(changed), "residual-scarce", SMALL)[0]["note"]


def test_a_lost_run_is_told() -> None:
    study = World(small_test={"residual": -0.1}).study()
    lost = f"{SMALL}-residual-0"
    tables = {name: table[table["uid"] != lost] if "uid" in table else table for name, table in study.tables.items()}
    tables["generation_metrics"] = tables["generation_metrics"][tables["generation_metrics"]["training_uid"] != lost]
    row = rows_of(claims(study_of(tables, reference="none", regimes=study.regimes)), "residual-scarce", SMALL)[0]
    assert row["n"] == 7
    assert "1 replicates lack a run" in row["note"]


def test_no_finished_run_still_names_every_claim() -> None:
    study = World().study()
    cells = study.tables["cells"].assign(status="error")
    table = claims(study_of({**study.tables, "cells": cells, "generation_metrics": pd.DataFrame()},
                            reference="none", regimes=study.regimes))  # fmt: skip
    assert set(table["claim"]) == set(EVALUATORS)
    assert set(table["verdict"]) == {"not applicable"}


def test_of_survivors_nothing_is_concluded() -> None:
    """The same numbers, but a third of the runs of one arm diverged: they may have been lost because of what they are.

    The replicates that are left would carry the claim; an arm that lost none keeps its verdict.
    """
    task, true, _, _ = CASES["dropout-generalises"]
    study = WORLDS[true].study()
    cells = study.tables["cells"]
    of_arm = cells[(cells["kind"] == "training") & (cells["regime"] == "standard") & (cells["task"] == task)]
    lost = of_arm.head(4).assign(status="diverged", uid=[f"lost-{n}" for n in range(4)])
    tables = {**study.tables, "cells": pd.concat([cells, lost], ignore_index=True)}
    table = claims(replace(study, tables=tables))
    rows = [row for row in rows_of(table, "dropout-generalises", task) if row["regime"] == "standard"]
    assert {row["verdict"] for row in rows} == {"undecided"}
    assert all(
        "of survivors nothing is concluded" in row["note"] and math.isnan(row["more_replicates"]) for row in rows
    )
