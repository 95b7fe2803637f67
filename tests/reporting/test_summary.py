"""The summary and the methods paragraph say what the tables say, warnings first."""

import numpy as np
import pandas as pd
import pytest
from roof_tables import NINE, PROBLEMS, roof

from harness.reporting.methods import methods
from harness.reporting.summary import summary

MOST = 9


@pytest.fixture
def tables():
    return {**roof(), "cells": cells(["done"] * 10), "generalization": generalization(8), "generation": generation()}


def cells(statuses):
    return pd.DataFrame({"cell": [f"c{i}" for i in range(len(statuses))], "status": statuses})


def generalization(n, environments=1):
    rows = [{"task": task, "model": model, "regime": regime, "split": "test", "metric": "loss", "n": n,
             "design": "joint", "environments": environments, "pairs_across_environments": 0}
            for task, model in PROBLEMS for regime in NINE]  # fmt: skip
    return pd.DataFrame(rows)


def generation():
    rows = [{"top_k": k, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0, "metric": "nll", "unit": "text",
             "n_prompts": 24, "n_inference": 4} for k in ("all", "1", "5", "human")]  # fmt: skip
    return pd.DataFrame(rows)


def said(tables, start):
    return [line for line in summary(tables) if line.startswith(start)]


def test_it_is_short_and_has_no_warning_where_nothing_is_wrong(tables):
    lines = summary(tables)
    assert 6 <= len(lines) <= MOST
    assert not said(tables, "Warning")


def test_warnings_stand_first(tables):
    tables["cells"] = cells(["done"] * 7 + ["error", "missing", "diverged", "skipped"])
    tables["generalization"] = generalization(3, environments=2)
    tables["seeds"] = tables["seeds"].assign(smallest_p=0.25)
    lines = summary(tables)
    assert [line.startswith("Warning") for line in lines] == [True] * 5 + [False] * (len(lines) - 5)
    assert "(1 missing, 1 error of 11 cells)" in lines[0]
    assert "1 of 11 cells diverged" in lines[1]
    assert "at most 3 training replicates" in lines[2]
    assert "different environments" in lines[3]
    assert "smallest: 0.25" in lines[4]


def set_dice(table, training, inference):
    """The same shares with their intervals in all arms, in both units."""
    for component, (value, low, high) in (("training", training), ("inference", inference)):
        mine = (table["component"] == component) & (table["unit"] == "text")
        for unit in ("", "score_"):
            names = [f"{unit}share", f"{unit}share_low", f"{unit}share_high"]
            table.loc[mine, names] = [value, low, high]
    return table


def test_a_die_dominates_only_where_the_intervals_part(tables):
    tables["randomness"] = set_dice(tables["randomness"], (0.1, 0.05, 0.3), (0.8, 0.4, 0.9))
    (line,) = said(tables, "Per text")
    assert "the inference die dominates distinct-2 (inference 80 [40, 90], training 10 [5, 30]), seq-rep-4" in line
    assert "toy-language@100 / scratch:gpt2-tiny, none, k=all" in line
    tables["randomness"] = set_dice(tables["randomness"], (0.1, 0.05, 0.45), (0.8, 0.4, 0.9))
    (line,) = said(tables, "Per text")
    assert "no die clearly dominates distinct-2" in line
    assert "inference die dominates" not in line
    tables["randomness"] = set_dice(tables["randomness"], (0.8, 0.6, 0.9), (0.1, 0.0, 0.2))
    assert "the training die dominates distinct-2" in said(tables, "Per benchmark score (mean over 24 prompts)")[0]


def test_an_interval_of_width_zero_is_not_printed(tables):
    tables["randomness"] = set_dice(tables["randomness"], (-0.03, -0.05, -0.01), (0.8, 0.4, 0.9))
    (line,) = said(tables, "Per text")
    assert "training 0 (estimated below 0)" in line


def test_tasks_that_differ_are_named_so(tables):
    table = set_dice(tables["randomness"], (0.1, 0.05, 0.3), (0.8, 0.4, 0.9))
    other = (table["task"] == "toy-language") & (table["metric"] == "nll") & (table["component"] == "training")
    table.loc[other, "share_high"] = 0.95
    (line,) = said({**tables, "randomness": table}, "Per text")
    assert "tasks differ in nll" in line


def test_a_difference_whose_p_is_large_is_not_decided(tables):
    table = tables["contrasts"]
    mine = (table["family"] == "regimes") & (table["metric"] == "loss")
    quiet = table.assign(p_adjusted=table["p_adjusted"].mask(mine, 0.3))
    assert (
        "better: 0, worse: 0 (Holm-adjusted p < 0.05), not decided: 32."
        in said({**tables, "contrasts": quiet}, "Regimes and generalisation")[0]
    )
    found = mine & (table["regime"] == "late-0.3") & (table["task"] == "toy-sentiment")
    loud = quiet.copy()
    loud.loc[found, ["p_adjusted", "difference", "ci_low", "ci_high"]] = [0.01, -0.2, -0.3, -0.1]
    (line,) = said({**tables, "contrasts": loud}, "Regimes and generalisation")
    assert "better: 1, worse: 0" in line
    assert "late-0.3 on toy-sentiment / scratch:bert-tiny (test): -0.20 [-0.30, -0.10]" in line


def test_an_interaction_that_is_not_found_is_not_called_small(tables):
    table = tables["effects"]
    mine = table["effect"] == "regime x top_k"
    none = table.assign(ci_low=table["ci_low"].mask(mine, -0.1))
    (line,) = said({**tables, "effects": none}, "An interaction")
    assert "found in 0 of 2" in line
    assert "whether it is small is the claim interaction-small" in line
    some = table.assign(ci_low=table["ci_low"].mask(mine, 0.1))
    assert "in 2 of 2" in said({**tables, "effects": some}, "Regime and decoding setting interact")[0]


def test_a_change_of_diversity_that_is_not_told_from_zero_says_so(tables):
    table = tables["effects"]
    mine = (table["metric"] == "replicate-distinctness") & (table["effect"] == "regime")
    table = table.assign(contrast_low=table["contrast_low"].mask(mine, -0.1))
    (line,) = said({**tables, "effects": table}, "Top-k and diversity")
    assert line.count("not told from 0") == 2
    assert "range (k 1 to all; 9 regimes)" in line


def test_verdicts_are_counted(tables):
    (line,) = said(tables, "Claims")
    assert "4 supported, 4 not supported, 4 undecided, 4 not applicable" in line
    assert "supported at least once: claim-0" in line


def test_tables_that_are_not_there_have_no_sentence():
    assert summary({}) == []
    empty = {name: table.iloc[:0] for name, table in roof().items()}
    assert summary(empty) == []
    assert methods({}) == ""
    assert methods(empty) == ""


def test_the_methods_paragraph_states_design_counts_and_sources(tables):
    text = methods(tables)
    for part in (
        "under 9 training regimes (none, weight-decay,",
        "8 training replicates each (joint design",
        "Texts were generated with k=1, k=5 and k=all from 24 prompts, with 4 inference replicates",
        "each regime with none, paired by training replicate",
        "each decoding setting with k=all",
        "families of 4 to 8",
        "Tsui and Weerahandi 1989",
        "Holm 1979",
        "Schuirmann 1987",
        "All 10 cells of the grid came to an end",
    ):
        assert part in text
    assert "\n" not in text
    assert "Gumbel" not in methods(tables, own_runs=False)


def test_methods_say_what_was_lost_and_which_estimators_were_used(tables):
    tables["cells"] = cells(["done", "diverged", "error", "error"])
    table = tables["randomness"]
    tables["randomness"] = table.assign(method=np.where(table["regime"] == "none", "unweighted means", "moments"))
    text = methods(tables)
    assert "Of 4 cells 3 gave no result (1 diverged, 2 error)" in text
    assert "Thomas and Hultquist 1978" in text
    assert "restricted maximum likelihood" not in text


def test_another_answer_at_the_smallest_k_is_told(tables):
    table = set_dice(tables["randomness"], (0.1, 0.05, 0.3), (0.8, 0.4, 0.9))
    few = (table["top_k"] == "2") & (table["metric"] == "distinct-2")
    table = table[~few | (table["component"] != "total")].copy()
    for component, (low, high) in (("training", (0.6, 0.9)), ("inference", (0.0, 0.2))):
        mine = few & (table["component"] == component)
        table.loc[mine, ["score_share", "score_share_low", "score_share_high"]] = [high, low, high]
    (line,) = said({**tables, "randomness": table}, "Per benchmark score")
    assert line.count(" But at k=2, ") == 1
    assert "the training die dominates distinct-2" in line.split(" But at k=2, ")[1]
    (line,) = said({**tables, "randomness": table}, "Per text")
    assert "But at" not in line


def test_prompts_that_carry_the_most_are_named(tables):
    table = set_dice(tables["randomness"], (0.01, 0.0, 0.02), (0.3, 0.2, 0.4))
    mine = (table["component"] == "prompt") & (table["unit"] == "text")
    table.loc[mine, "share"] = np.where(table.loc[mine, "metric"] == "nll", 0.7, 0.3)
    (line,) = said({**tables, "randomness": table}, "Per text")
    assert "the choice of prompts carries more than half of nll)" in line
    table = set_dice(table, (-0.9, -1.0, 0.02), (1.2, 0.2, 1.4))  # shares of a total that negative ones make small
    assert "choice of prompts" not in said({**tables, "randomness": table}, "Per text")[0]


def test_scores_without_a_loss_are_told_by_a_metric_that_has_a_direction(tables):
    table = tables["contrasts"]
    table = table[table["metric"] == "loss"].assign(metric="accuracy", p_adjusted=0.01, difference=-0.2)
    (line,) = said({**tables, "contrasts": table}, "Regimes and generalisation")
    assert "in the test accuracy, better: 0, worse: 32" in line
    assert line.endswith("(worse).")


def test_a_grid_without_any_result_says_so(tables):
    tables["cells"] = cells(["diverged"] * 3 + ["skipped"])
    (line, *_) = summary(tables)
    assert line == "Warning: none of the 4 cells gave a result (3 diverged, 1 skipped); this report has no numbers."


def test_one_regime_has_no_change_over_the_regimes(tables):
    table = tables["effects"]
    contrast = table["contrast"].mask(table["effect"] == "regime")
    (line,) = said({**tables, "effects": table.assign(contrast=contrast)}, "Top-k and diversity")
    assert "over the regimes" not in line
    assert "n/a" not in line


def test_methods_name_no_test_and_no_interval_that_is_not_there(tables):
    tables["generalization"]["design"] = "isolated"
    for name in ("randomness", "contrasts"):
        tables[name] = tables[name].assign(**dict.fromkeys({"ci_low", "p_adjusted"} & set(tables[name]), np.nan))
    tables["claims"] = tables["claims"].assign(verdict="not applicable")
    tables["effects"] = tables["effects"].assign(variance=np.nan)
    text = methods(tables)
    assert "no difference has an interval or a test" in text
    for part in ("Student", "Holm", "Searle", "Schuirmann", "finite-population", "families"):
        assert part not in text


def test_methods_of_given_scores_claim_nothing_about_the_runs(tables):
    text = methods(tables, own_runs=False)
    assert text.startswith("With twodice we analysed given scores of toy-sentiment@100")
    for part in ("streams", "came to an end", "we studied", "Dropout is off"):
        assert part not in text


def test_skipped_cells_are_no_lost_results(tables):
    tables["cells"] = cells(["done"] * 3 + ["skipped"] * 2)
    assert "All 3 cells of the grid came to an end. 2 more were skipped" in methods(tables)


def test_a_regime_without_a_run_is_named(tables):
    table = tables["generalization"]
    tables["generalization"] = table.assign(n=table["n"].mask(table["regime"] == "none", 0))
    assert summary(tables)[0] == "Warning: no run of none gave a result; no comparison has it."
