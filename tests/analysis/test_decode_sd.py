"""The inference die of table `generation`, by hand."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from harness.analysis.generation import COLUMNS, ONE_BY_CONSTRUCTION, generation

VALUES = {
    # (training replicate, prompt): values of the inference replicates
    (0, "p"): [1.0, 2.0, 3.0],  # variance 1
    (0, "q"): [4.0, 4.0, 4.0],  # 0
    (1, "p"): [0.0, 0.0, 6.0],  # 12
    (1, "q"): [5.0, 7.0, math.nan],  # 2, of the two that are defined
}


def rows(values, top_k="5", unit="text", metric="distinct-2", **setting):
    named = {"task": "pydoc", "model": "gpt2", "regime": "none", "top_k": top_k, "temperature": 1.0}
    named |= {"top_p": 1.0, "min_p": 0.0, **setting, "unit": unit, "metric": metric}
    return [
        {**named, "training_uid": f"none{r}", "training_replicate": r, "inference_replicate": level, "prompt": prompt,
         "value": value}
        for (r, prompt), some in values.items()
        for level, value in enumerate(some)
    ]  # fmt: skip


@pytest.fixture
def trained(make_cell_row):
    return pd.DataFrame([make_cell_row(f"none{r}", "none", r, task="pydoc") for r in range(2)]).assign(model="gpt2")


def table(some, trained):
    return generation(pd.DataFrame(some).astype({"inference_replicate": "Int64"}), trained, regimes=["none"])


def only(some, trained):
    found = table(some, trained)
    assert len(found) == 1
    return found.iloc[0]


def test_it_is_the_root_of_the_mean_variance_over_inference_replicates(trained):
    found = only(rows(VALUES), trained)
    assert found["decode_sd"] == pytest.approx(math.sqrt((1 + 0 + 12 + 2) / 4), rel=1e-14)
    assert found["mean"] == pytest.approx((2 + 4 + 2 + 6) / 4, rel=1e-14)  # a prompt weighs the same


def test_a_prompt_with_one_defined_value_has_no_variance(trained):
    less = {**VALUES, (1, "q"): [5.0, math.nan, math.nan]}
    assert only(rows(less), trained)["decode_sd"] == pytest.approx(math.sqrt(13 / 3), rel=1e-14)
    once = {key: values[:1] for key, values in VALUES.items()}
    assert math.isnan(only(rows(once), trained)["decode_sd"])


def test_of_a_set_it_is_over_the_inference_replicates_of_a_checkpoint(trained):
    sets = {(0, ""): [1.0, 2.0, 3.0], (1, ""): [0.0, 0.0, 6.0]}
    assert only(rows(sets, unit="set"), trained)["decode_sd"] == pytest.approx(math.sqrt(13 / 2), rel=1e-14)


def test_of_a_prompt_metric_there_is_none(trained):
    some = rows({(0, "p"): [0.5], (0, "q"): [0.7], (1, "p"): [0.5], (1, "q"): [0.9]}, unit="prompt")
    assert math.isnan(only([{**row, "inference_replicate": None} for row in some], trained)["decode_sd"])


def test_greedy_is_zero_by_construction_and_not_estimated(trained):
    found = only(rows({key: values[:1] for key, values in VALUES.items()}, top_k="1"), trained)
    assert found["decode_sd"] == 0.0
    assert "decode sd is 0" in ONE_BY_CONSTRUCTION
    assert found["note"] == ONE_BY_CONSTRUCTION
    nothing = only(rows({key: [math.nan] for key in VALUES}, top_k="1"), trained)
    assert math.isnan(nothing["decode_sd"])


def test_equal_values_have_exactly_no_variance(trained):
    """0.1 + 0.1 + 0.1 is not 0.3: a variance about the rounded mean would not be 0."""
    assert only(rows({key: [0.1] * 3 for key in VALUES}), trained)["decode_sd"] == 0.0


def test_a_large_mean_does_not_drown_a_small_variance(trained):
    moved = {key: [1e8 + value / 1000 for value in (1.0, 2.0, 3.0)] for key in VALUES}
    assert only(rows(moved), trained)["decode_sd"] == pytest.approx(1e-3, rel=1e-4)


def test_the_order_of_rows_changes_no_bit(trained):
    rng = np.random.default_rng(3)
    values = {(r, f"p{i}"): rng.normal(size=5).tolist() for r, i in itertools.product(range(2), range(40))}
    some = rows(values) + rows(values, top_k="all", top_p=0.9) + rows(values, top_k="human")
    some += rows({(r, ""): rng.normal(size=5).tolist() for r in range(2)}, unit="set", metric="self-bleu-4")
    first = table(some, trained)
    for seed in range(3):
        again = [some[place] for place in np.random.default_rng(seed).permutation(len(some))]
        pd.testing.assert_frame_equal(table(again, trained), first, check_exact=True)


def test_filters_are_settings_of_their_own_and_stand_after_the_plain_ones(trained):
    some = rows(VALUES, "all") + rows(VALUES, "all", top_p=0.9) + rows(VALUES, "all", min_p=0.1) + rows(VALUES, "40")
    found = table(some, trained)
    assert found.columns.tolist() == COLUMNS
    settings = list(found[["top_k", "top_p", "min_p"]].itertuples(index=False, name=None))
    assert settings == [("40", 1.0, 0.0), ("all", 1.0, 0.0), ("all", 1.0, 0.1), ("all", 0.9, 0.0)]
    with pytest.raises(ValueError, match="rows without min_p"):
        table(rows(VALUES, min_p=math.nan), trained)
