"""Human texts as a row beside the settings, and the distance to them."""

import math

import numpy as np
import pandas as pd
import pytest

from harness.analysis.generation import generation
from harness.analysis.human import HUMAN_NOTE, INCOMPARABLE
from harness.analysis.means import grand_means

SAMPLED = {
    0: {"p": [4.0, 6.0], "q": [1.0, 3.0]},
    1: {"p": [6.0, 8.0], "q": [3.0, 5.0]},
    2: {"p": [5.0] * 2, "q": [3.0] * 2},
}
HUMAN = {
    0: {"p": [1.0, 2.0, 6.0], "q": [5.0]},
    1: {"p": [2.0, 3.0, 7.0], "q": [7.0]},
    2: {"p": [0.0, 3.0, 6.0], "q": [4.0]},
}


def rows(values, top_k, unit="text", metric="perplexity"):
    named = {"task": "e2e", "model": "gpt2", "regime": "none", "top_k": top_k, "temperature": 1.0, "top_p": 1.0}
    named |= {"min_p": 0.0, "unit": unit, "metric": metric}
    return [
        {**named, "training_uid": f"none{r}", "training_replicate": r, "inference_replicate": level, "prompt": prompt,
         "value": value}
        for r, prompts in values.items()
        for prompt, some in prompts.items()
        for level, value in enumerate(some)
    ]  # fmt: skip


@pytest.fixture
def build(make_cell_row):
    cells = pd.DataFrame([make_cell_row(f"none{r}", "none", r, task="e2e") for r in range(3)]).assign(model="gpt2")

    def table(*parts, training=None):
        frame = pd.DataFrame([row for part in parts for row in part]).astype({"inference_replicate": "Int64"})
        found = generation(frame, cells, regimes=["none"], training=training)
        return found.set_index(["top_k", "metric"])

    return table


def test_a_prompt_weighs_the_same_however_many_references_it_has(build):
    human = build(rows(SAMPLED, "5"), rows(HUMAN, "human")).loc[("human", "perplexity")]
    # the means over prompts of the mean over references, not over all texts
    assert human["mean"] == pytest.approx(np.mean([(3 + 5) / 2, (4 + 7) / 2, (3 + 4) / 2]))
    assert (human["n_inference"], human["n_prompts"], human["n_training"]) == (3, 2, 3)
    assert human["note"].startswith(HUMAN_NOTE)
    assert "4 references of at most 6" in human["note"]
    assert "unbalanced" not in human["note"]
    assert math.isnan(human["decode_sd"])
    assert math.isnan(human["to_human"])


def test_to_human_is_paired_by_training_replicate(build):
    found = build(rows(SAMPLED, "5"), rows(HUMAN, "human")).loc[("5", "perplexity")]
    differences = [3.5 - 4.0, 5.5 - 5.5, 4.0 - 3.5]
    assert found["to_human"] == pytest.approx(np.mean(differences))
    # Of p alone 5 - 3, 7 - 4, 5 - 3; of q 2 - 5, 4 - 7, 3 - 4: both dice, as in harness.analysis.means.
    table = np.array([[2.0, -3.0], [3.0, -3.0], [2.0, -1.0]])
    whole = grand_means(table[None])
    low, high = whole.low[0], whole.high[0]
    assert (found["to_human_low"], found["to_human_high"]) == pytest.approx((low, high))
    assert found["note"] == ""


def test_a_replicate_without_human_texts_is_left_out_of_the_pairs(build):
    less = {r: HUMAN[r] for r in (0, 2)}
    found = build(rows(SAMPLED, "5"), rows(less, "human")).loc[("5", "perplexity")]
    assert found["to_human"] == pytest.approx(np.mean([3.5 - 4.0, 4.0 - 3.5]))
    assert found["n_training"] == 3
    assert found["note"] == "to human: 2 of 3 training replicates have human texts to pair"


def test_without_human_texts_there_is_no_distance(build):
    found = build(rows(SAMPLED, "5"), rows(HUMAN, "human", metric="length"))
    assert math.isnan(found.loc[("5", "perplexity"), "to_human"])
    assert math.isnan(found.loc[("5", "perplexity"), "to_human_low"])


def test_a_metric_that_no_checkpoint_changes_has_one_human_value(build):
    same = {r: {"p": [1.0, 3.0], "q": [2.0, 2.0]} for r in range(3)}
    found = build(rows(SAMPLED, "5"), rows(same, "human"))
    assert found.loc[("human", "perplexity"), "sd"] == 0.0
    assert math.isnan(found.loc[("human", "perplexity"), "ci_low"])
    row = found.loc[("5", "perplexity")]
    assert row["to_human"] == pytest.approx(row["mean"] - 2.0)
    assert row["to_human_high"] - row["to_human_low"] == pytest.approx(row["ci_high"] - row["ci_low"])


def test_sets_of_references_that_lack_prompts_are_left_out(build):
    """Level 0 has both prompts, levels 1 and 2 only `p`: a set metric of one text is no match for one of two."""
    sets = {r: {"": [0.5 + r / 10, 99.0, 99.0]} for r in range(3)}
    found = build(rows(HUMAN, "human"), rows(sets, "human", unit="set", metric="self-bleu-4"))
    row = found.loc[("human", "self-bleu-4")]
    assert row["mean"] == pytest.approx(0.6)
    assert "1 of 3 sets of references have a text for every prompt" in row["note"]
    full = {r: {"p": [1.0, 2.0], "q": [1.0, 2.0]} for r in range(3)}
    sets = {r: {"": [0.5, 0.7]} for r in range(3)}
    found = build(rows(full, "human"), rows(sets, "human", unit="set", metric="self-bleu-4"))
    assert found.loc[("human", "self-bleu-4"), "mean"] == pytest.approx(0.6)
    assert found.loc[("human", "self-bleu-4"), "note"] == HUMAN_NOTE


def test_other_prompts_than_those_of_the_human_texts_are_told(build):
    fewer = {r: {"p": prompts["p"]} for r, prompts in HUMAN.items()}
    found = build(rows(SAMPLED, "5"), rows(fewer, "human")).loc[("5", "perplexity")]
    assert found["note"] == "to human: over 1 of 2 prompts, where both have a value"
    # of p alone: 5 - 3, 7 - 4, 5 - 3
    assert found["to_human"] == pytest.approx(np.mean([2.0, 3.0, 2.0]))
    assert found["mean"] == pytest.approx(np.mean([3.5, 5.5, 4.0]))
    sets = {r: {"": [0.5]} for r in range(3)}
    tables = [rows(sets, top_k, unit="set", metric="self-bleu-4") for top_k in ("5", "human")]
    found = build(rows(SAMPLED, "5"), rows(fewer, "human"), *tables).loc[("5", "self-bleu-4")]
    assert "to human: 1 prompts have human texts, 2 have these" in found["note"]


@pytest.mark.parametrize("unit", ["text", "prompt"])
def test_a_prompt_counts_only_where_both_have_a_value(build, unit):
    """Prompt q is far from p in both: its human value alone, or its sampled value alone, would move the difference."""
    both = {r: {"p": [1.0 + r], "q": [50.0], "r": [3.0]} for r in range(3)}
    lost = {0: {**both[0], "q": [math.nan]}, 1: {**both[1], "q": [math.nan], "r": [math.nan]}, 2: both[2]}
    given = [rows(both, "human"), rows(both, "5")]
    one = build(*given, rows(both, "5", unit, "m"), rows(lost, "human", unit, "m")).loc[("5", "m")]
    other = build(*given, rows(lost, "5", unit, "m"), rows(both, "human", unit, "m")).loc[("5", "m")]
    for found in (one, other):
        assert found["to_human"] == 0.0
        assert "to human: 2 of 3 prompts lack a value in some run: no interval" in found["note"]
        assert math.isnan(found["to_human_low"])


@pytest.mark.parametrize("metric", INCOMPARABLE)
def test_some_metrics_have_no_difference_and_the_row_says_why(build, metric):
    found = build(rows(SAMPLED, "5", metric=metric), rows(HUMAN, "human", metric=metric))
    row = found.loc[("5", metric)]
    assert row[["to_human", "to_human_low", "to_human_high"]].isna().all()
    assert row["note"] == INCOMPARABLE[metric]
    assert not math.isnan(row["mean"])
    assert not math.isnan(found.loc[("human", metric), "mean"])
    assert "no difference" not in found.loc[("human", metric), "note"]
    alone = build(rows(SAMPLED, "5", metric=metric)).loc[("5", metric)]
    assert alone["note"] == ""


def test_a_crossed_design_that_lacks_a_pair_says_why_the_interval_is_missing(build, make_training_row, make_cell_row):
    levels = [{"init": i, "order": o, "sample": 0, "mask": 0} for i in range(2) for o in range(2)]
    runs = [make_training_row(f"none{r}", "none", r, "test", "loss", 0.5, task="e2e") | one
            for r, one in enumerate(levels)]  # fmt: skip
    training = pd.DataFrame(runs).assign(model="gpt2", design="crossed")
    cells = pd.DataFrame([make_cell_row(f"none{r}", "none", r, task="e2e") for r in range(4)]).assign(model="gpt2")
    sampled = {r: {"p": [float(r * r)], "q": [1.0]} for r in range(4)}
    people = {r: {"p": [0.0], "q": [0.0]} for r in range(3)}
    frame = pd.DataFrame([*rows(sampled, "5"), *rows(people, "human")]).astype({"inference_replicate": "Int64"})
    found = generation(frame, cells, regimes=["none"], training=training).set_index("top_k").loc["5"]
    assert not math.isnan(found["ci_low"])
    assert math.isnan(found["to_human_low"])
    assert found["to_human"] == pytest.approx(np.mean([0.5, 1.0, 2.5]))
    assert found["note"] == (
        "to human: 3 of 4 training replicates have human texts to pair; "
        "to human: crossed design incomplete (3 of 4 runs): no interval"
    )


def test_lost_human_texts_of_one_checkpoint_are_an_alarm(build):
    lost = {**HUMAN, 1: {"p": [2.0, 3.0], "q": [7.0]}}
    found = build(rows(SAMPLED, "5"), rows(lost, "human")).loc[("human", "perplexity")]
    assert "unbalanced: 3 to 4 of 4 values" in found["note"]


def test_human_stands_last(build):
    found = build(rows(HUMAN, "human"), rows(SAMPLED, "all"), rows(SAMPLED, "100"))
    assert [k for k, _ in found.index] == ["100", "all", "human"]


def test_an_isolated_design_gives_a_distance_without_an_interval(build, make_training_row):
    levels = [dict.fromkeys(("init", "sample", "mask"), 0) | {"order": r} for r in range(3)]
    runs = [make_training_row(f"none{r}", "none", r, "test", "loss", 0.5, task="e2e") | levels[r] for r in range(3)]
    training = pd.DataFrame(runs).assign(model="gpt2", design="isolated")
    found = build(rows(SAMPLED, "5"), rows(HUMAN, "human"), training=training).loc[("5", "perplexity")]
    assert found["to_human"] == pytest.approx(0.0)
    assert math.isnan(found["to_human_low"])
