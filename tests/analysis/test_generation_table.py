import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analysis.generation import ONE_BY_CONSTRUCTION, generation

REGIMES = ["none", "standard"]
REPLICATES, PROMPTS, INFERENCE = 3, 4, 2


def rows_of(regime, top_k, replicate, inference, rng):
    factors = {"task": "pydoc", "model": "gpt2", "regime": regime, "top_k": top_k, "temperature": 1.0}
    factors |= {"top_p": 1.0, "min_p": 0.0}
    own = {"training_uid": f"{regime}{replicate}", "training_replicate": replicate, **factors}
    for prompt in range(PROMPTS):
        for level in range(inference):
            text = {"inference_replicate": level, "unit": "text", "prompt": f"p{prompt}"}
            yield {**own, **text, "metric": "distinct-2", "value": replicate + rng.normal()}
        across = {"inference_replicate": pd.NA, "unit": "prompt", "prompt": f"p{prompt}"}
        yield {**own, **across, "metric": "replicate-distinctness", "value": rng.uniform()}
    for level in range(inference):
        whole = {"inference_replicate": level, "unit": "set", "prompt": ""}
        yield {**own, **whole, "metric": "self-bleu-4", "value": rng.uniform()}


@pytest.fixture
def metrics():
    rng = np.random.default_rng(5)
    rows = [
        row
        for regime in REGIMES
        for top_k, inference in (("1", 1), ("5", INFERENCE), ("20", INFERENCE), ("all", INFERENCE))
        for replicate in range(REPLICATES)
        for row in rows_of(regime, top_k, replicate, inference, rng)
    ]
    return pd.DataFrame(rows).astype({"inference_replicate": "Int64"})


@pytest.fixture
def generation_cells(make_cell_row):
    trained = [make_cell_row(f"{r}{i}", r, i, task="pydoc") for r in REGIMES for i in range(REPLICATES)]
    return pd.DataFrame(trained).assign(model="gpt2")


def pick(found, **factors):
    for name, value in factors.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_the_interval_is_that_of_training_replicates_where_they_rule(metrics, generation_cells):
    found = pick(generation(metrics, generation_cells, regimes=REGIMES), regime="none", top_k="5", metric="distinct-2")
    mine = metrics[(metrics["regime"] == "none") & (metrics["top_k"] == "5") & (metrics["metric"] == "distinct-2")]
    means = [mine.loc[mine["training_replicate"] == r, "value"].mean() for r in range(REPLICATES)]
    low, high = stats.t.interval(0.95, REPLICATES - 1, loc=np.mean(means), scale=stats.sem(means))
    assert (found["mean"], found["sd"]) == pytest.approx((np.mean(means), np.std(means, ddof=1)))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((low, high))
    assert (found["n_training"], found["n_inference"], found["n_prompts"]) == (REPLICATES, INFERENCE, PROMPTS)
    assert found["note"] == ""


def test_top_k_is_ordered_as_a_number_with_all_last(metrics, generation_cells):
    found = generation(metrics.sample(frac=1, random_state=0), generation_cells, regimes=["standard", "none"])
    assert list(dict.fromkeys(found["regime"])) == ["standard", "none"]
    assert list(dict.fromkeys(found["top_k"])) == ["1", "5", "20", "all"]


def test_units_stand_apart(metrics, generation_cells):
    found = generation(metrics, generation_cells, regimes=REGIMES)
    assert dict(zip(found["metric"], found["unit"], strict=True)) == {
        "distinct-2": "text",
        "replicate-distinctness": "prompt",
        "self-bleu-4": "set",
    }


def test_greedy_has_one_replicate_by_construction(metrics, generation_cells):
    found = pick(generation(metrics, generation_cells, regimes=REGIMES), regime="none", top_k="1", metric="distinct-2")
    assert found["n_inference"] == 1
    assert found["note"] == ONE_BY_CONSTRUCTION


def test_undefined_values_are_left_out_and_counted(metrics, generation_cells):
    here = (metrics["regime"] == "none") & (metrics["top_k"] == "5") & (metrics["metric"] == "distinct-2")
    lost = metrics[here & (metrics["training_replicate"] == 0)].index[:3]
    metrics.loc[lost, "value"] = math.nan
    found = pick(generation(metrics, generation_cells, regimes=REGIMES), regime="none", top_k="5", metric="distinct-2")
    # Both values of p0 and one of p1: p0 counts nowhere, p1 weighs the same as the others.
    cells = metrics[here & (metrics["prompt"] != "p0")].groupby(["training_replicate", "prompt"])["value"].mean()
    assert found["undefined"] == 3
    assert found["mean"] == pytest.approx(cells.mean())
    assert found["note"] == "over 3 of 4 prompts, which have a value in every run"


def test_the_interval_speaks_of_new_prompts_too(metrics, generation_cells):
    """Prompts that differ much make a wide interval even where all training replicates agree."""
    shift = metrics["prompt"].map({f"p{i}": 10.0 * i for i in range(PROMPTS)}).fillna(0.0)
    apart = metrics.assign(value=shift + 1e-3 * metrics["training_replicate"])
    found = generation(apart, generation_cells, regimes=REGIMES)
    text = pick(found, regime="none", top_k="5", metric="distinct-2")
    low, high = stats.t.interval(0.95, PROMPTS - 1, loc=15.001, scale=stats.sem([0.0, 10.0, 20.0, 30.0]))
    assert (text["ci_low"], text["ci_high"]) == pytest.approx((low, high), rel=1e-3)
    prompt = pick(found, regime="none", top_k="5", metric="replicate-distinctness")
    assert (prompt["ci_low"], prompt["ci_high"]) == pytest.approx((low, high), rel=1e-3)
    whole = pick(found, regime="none", top_k="5", metric="self-bleu-4")
    assert whole["ci_high"] - whole["ci_low"] < 0.01


def test_a_metric_that_most_prompts_lack_somewhere_has_no_interval(metrics, generation_cells):
    here = (metrics["regime"] == "none") & (metrics["top_k"] == "5") & (metrics["metric"] == "distinct-2")
    lost = here & metrics["prompt"].isin(["p0", "p1", "p2"]) & (metrics["training_replicate"] == 0)
    metrics.loc[lost, "value"] = math.nan
    found = pick(generation(metrics, generation_cells, regimes=REGIMES), regime="none", top_k="5", metric="distinct-2")
    assert math.isnan(found["ci_low"])
    assert found["note"] == "3 of 4 prompts lack a value in some run: no interval"


def test_a_replicate_without_any_defined_value_is_named(metrics, generation_cells):
    here = (metrics["regime"] == "none") & (metrics["top_k"] == "5") & (metrics["metric"] == "distinct-2")
    metrics.loc[here & (metrics["training_replicate"] == 0), "value"] = math.nan
    found = pick(generation(metrics, generation_cells, regimes=REGIMES), regime="none", top_k="5", metric="distinct-2")
    assert found["n_training"] == 2
    assert "not defined in 1 of 3 training replicates" in found["note"]


def test_unequal_numbers_of_texts_are_named(metrics, generation_cells):
    here = (metrics["regime"] == "none") & (metrics["top_k"] == "5") & (metrics["unit"] == "text")
    fewer = metrics.drop(index=metrics[here].index[0])
    found = pick(generation(fewer, generation_cells, regimes=REGIMES), regime="none", top_k="5", metric="distinct-2")
    assert "unbalanced: 7 to 8 of 8 values" in found["note"]


def test_repeats_of_a_training_cell_are_left_out(metrics, generation_cells, make_cell_row):
    again = metrics[metrics["training_uid"] == "none0"].assign(training_uid="again", value=99.0)
    cells = pd.concat([generation_cells, pd.DataFrame([make_cell_row("again", "none", 0)])])
    both = pd.concat([metrics, again])
    with pytest.raises(ValueError, match="claimed by several checkpoints"):
        generation(both, cells, regimes=REGIMES)
    pd.testing.assert_frame_equal(
        generation(both, cells, regimes=REGIMES, repeats=frozenset({"again"})),
        generation(metrics, cells, regimes=REGIMES),
    )


def test_one_checkpoint_under_two_replicates_counts_once(metrics, generation_cells):
    copy = metrics[metrics["training_uid"] == "none2"].assign(training_replicate=7)
    pd.testing.assert_frame_equal(
        generation(pd.concat([metrics, copy]), generation_cells, regimes=REGIMES),
        generation(metrics, generation_cells, regimes=REGIMES),
    )


def test_an_arm_without_texts_keeps_a_row(metrics, generation_cells, make_cell_row):
    setting = {"kind": "generation", "top_k": "40", "temperature": 1.0, "inference_replicate": 0, "task": "pydoc"}
    lost = [make_cell_row(f"g{i}", "none", i, status="error", **setting) for i in range(2)]
    cells = pd.concat([generation_cells, pd.DataFrame(lost).assign(model="gpt2")])
    found = pick(generation(metrics, cells, regimes=REGIMES), top_k="40")
    assert (found["n_training"], found["failed"]) == (0, 2)
    assert math.isnan(found["mean"])


def test_contradictions_are_refused(metrics, generation_cells):
    with pytest.raises(ValueError, match="at most 4 can be distinct"):
        generation(pd.concat([metrics, metrics]), generation_cells, regimes=REGIMES)
    with pytest.raises(ValueError, match="is infinite"):
        generation(
            metrics.assign(value=metrics["value"].where(metrics.index != 0, math.inf)),
            generation_cells,
            regimes=REGIMES,
        )
    with pytest.raises(ValueError, match="rows without temperature"):
        generation(metrics.assign(temperature=math.nan), generation_cells, regimes=REGIMES)
    with pytest.raises(ValueError, match="checkpoint none0"):
        generation(metrics, generation_cells[generation_cells["uid"] != "none0"], regimes=REGIMES)
    with pytest.raises(ValueError, match="k = 1 is greedy, but has 2 replicates"):
        generation(metrics.assign(top_k="1"), generation_cells, regimes=REGIMES)
    with pytest.raises(ValueError, match="unit 'word'"):
        generation(metrics.assign(unit="word"), generation_cells, regimes=REGIMES)
