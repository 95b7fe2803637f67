"""Published numbers of generated texts: a value at one decoding setting, and an order of settings."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analysis.published import published_table
from harness.spec.published_forms import PublishedOrdering, PublishedTextOrdering, PublishedTextValue

SOURCE = {"source": "Someone 2020, arXiv 0000.00000", "estimator": "one run", "same_estimator": False}
WHERE = {"task": "sst2", "model": "bert", "regime": "none", "unit": "text", "metric": "repetition-loop", **SOURCE}
SETTINGS = {"1": 1.0, "40": 1.0, "all": 1.0}
# Per setting: the values of two texts of each of three training replicates, which differ by 1, 2 and 3.
VALUES = {"all": [(1.0, 1.2), (2.0, 2.2), (3.0, 3.2)], "40": [(1.15, 1.25), (2.2, 2.2), (3.15, 3.25)]}
VALUES["1"] = [(1.7,), (2.72,), (3.71,)]


def value(number, **more):
    return PublishedTextValue.model_validate({**WHERE, "value": number, "top_k": 40, **more})


def order(*settings, **more):
    return PublishedTextOrdering.model_validate({**WHERE, "ordering": list(settings), **more})


def text_rows(values, top_k, **more):
    for replicate, some in enumerate(values):
        for level, number in enumerate(some):
            yield {
                "training_uid": f"none{replicate}", "task": "sst2", "model": "bert", "regime": "none",
                "training_replicate": replicate, "top_k": top_k, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0,
                "inference_replicate": level, "unit": "text", "prompt": "p", "metric": "repetition-loop",
                "value": number, **more,
            }  # fmt: skip


@pytest.fixture
def metrics():
    rows = [row for top_k, values in VALUES.items() for row in text_rows(values, top_k)]
    rows += list(text_rows(VALUES["40"], "40", metric="length"))
    return pd.DataFrame(rows).astype({"inference_replicate": "Int64"})


@pytest.fixture
def planned(cells, make_cell_row):
    settings = [
        make_cell_row(f"g{r}{k}{i}", "none", r, kind="generation", top_k=k, temperature=1.0, inference_replicate=i)
        for r in range(3)
        for k in VALUES
        for i in range(1 if k == "1" else 2)
    ]
    return pd.concat([cells, pd.DataFrame(settings)])


@pytest.fixture
def judge(training, planned, metrics):
    def table(*numbers, **more):
        given = {"training": training, "cells": planned, "metrics": metrics, **more}
        return published_table(numbers, given["training"], given["cells"], regimes=["none", "standard"],
                               metrics=given["metrics"])  # fmt: skip

    return table


def test_a_value_is_of_the_mean_over_texts_by_training_replicate(judge):
    found = judge(value(2.4)).iloc[0]
    means = [1.2, 2.2, 3.2]
    half = stats.t.ppf(0.975, 2) * math.sqrt(1.0 / 3 + 1.0)
    assert (found["mean"], found["n"]) == (pytest.approx(np.mean(means)), 3)
    assert (found["prediction_low"], found["prediction_high"]) == pytest.approx((2.2 - half, 2.2 + half))
    named = ("setting", "unit", "split", "regime", "metric")
    assert [found[name] for name in named] == ["k=40", "text", "", "none", "repetition-loop"]
    assert found["verdict"] == "agrees"
    assert judge(value(2.2 + 1.01 * half)).iloc[0]["verdict"] == "does not agree"


def test_settings_are_compared_within_a_training_replicate(judge):
    """The replicates differ by 1, the settings by 0.1: only pairing sees it."""
    found = judge(order({"top_k": "all"}, {"top_k": 40}, {"top_k": 1}))
    assert found["setting"].tolist() == ["k=all < k=40 < k=1", "k=40 - k=all", "k=1 - k=40"]
    assert found["kind"].tolist() == ["ordering", "difference", "difference"]
    assert found["verdict"].tolist() == ["undecided", "open", "above 0"]  # the first differences are all 0.1: no spread
    pairs = [1.7 - 1.2, 2.72 - 2.2, 3.71 - 3.2]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(pairs), scale=stats.sem(pairs))
    assert (found.iloc[2]["ci_low"], found.iloc[2]["ci_high"]) == pytest.approx((low, high))
    assert judge(order({"top_k": "all"}, {"top_k": 1})).iloc[0]["verdict"] == "agrees"
    assert judge(order({"top_k": 1}, {"top_k": 40})).iloc[0]["verdict"] == "does not agree"


@pytest.mark.parametrize(
    ("margin", "verdict", "step"),
    [(0.4, "agrees", "above 0.4"), (0.51, "undecided", "open"), (0.6, "does not agree", "below 0.6")],
)
def test_a_margin_asks_for_a_difference_of_a_size(judge, margin, verdict, step):
    found = judge(order({"top_k": 40}, {"top_k": 1}, margin=margin))
    assert found["verdict"].tolist() == [verdict, step]


def test_a_margin_holds_between_regimes_too(training, cells):
    where = {key: WHERE[key] for key in ("task", "model", *SOURCE)}
    number = PublishedOrdering.model_validate(
        {**where, "split": "test", "metric": "loss", "ordering": ["standard", "none"], "margin": 5.0}
    )
    found = published_table([number], training, cells, regimes=["none", "standard"])
    assert found["verdict"].tolist() == ["does not agree", "below 5"]


def test_a_name_of_greedy_does_not_depend_on_its_temperature(judge):
    assert judge(value(1.0, top_k=1, temperature=0.7)).iloc[0]["n"] == 3


def test_what_there_is_not_is_said_and_undecided(judge, planned, metrics):
    for number, words in (
        (value(1.0, top_k=41), "k=41: no cell has this setting"),
        (value(1.0, temperature=0.7), "k=40 T=0.7: no cell has this setting"),
        (value(1.0, metric="length", top_k=1), "k=1: the texts have no length per text"),
        (value(1.0, unit="set"), "k=40: the texts have no repetition-loop per set"),
    ):
        found = judge(number).iloc[0]
        assert (found["verdict"], found["n"]) == ("undecided", 0)
        assert words in found["note"]
    found = judge(value(1.0), metrics=None, cells=planned.assign(status="missing")).iloc[0]
    assert "k=40: no cell is done" in found["note"]
    assert found["missing"] == 6


def test_values_that_are_not_defined_are_counted_and_a_replicate_without_any_is_refused(judge, metrics):
    here = (metrics["top_k"] == "40") & (metrics["metric"] == "repetition-loop") & (metrics["training_replicate"] == 0)
    one = metrics.assign(value=metrics["value"].mask(here & (metrics["inference_replicate"] == 0)))
    found = judge(value(2.4), metrics=one).iloc[0]
    assert "k=40: 1 of 6 values are not defined and left out" in found["note"]
    assert found["verdict"] == "agrees"
    found = judge(value(2.4), metrics=metrics.assign(value=metrics["value"].mask(here))).iloc[0]
    assert "is not defined in every training replicate" in found["note"]
    assert found["verdict"] == "undecided"


@pytest.mark.parametrize("kind", ["training", "generation"])
def test_a_failed_cell_leaves_survivors_only(judge, planned, metrics, kind):
    lost = {"training": planned["uid"] == "none2", "generation": planned["uid"] == "g2400"}[kind]
    broken = planned.assign(status=np.where(lost, "error", "done"))
    found = judge(value(2.4), order({"top_k": 40}, {"top_k": 1}), cells=broken)
    assert found["verdict"].tolist() == ["undecided", "undecided", "open"]
    assert found["failed"].tolist()[0] == 1
    assert "k=40: 1 failed" in found.iloc[0]["note"]


def test_human_texts_can_be_named(judge, metrics, planned, make_cell_row):
    human = pd.DataFrame(text_rows([(0.1, 0.3), (0.2, 0.3), (0.4, 0.3)], "human"))
    cell = make_cell_row("h", "none", 0, kind="generation", top_k="human", temperature=1.0, inference_replicate=0)
    more = {"metrics": pd.concat([metrics, human]), "cells": pd.concat([planned, pd.DataFrame([cell])])}
    found = judge(order({"top_k": "human"}, {"top_k": 40}), **more)
    assert found["setting"].tolist() == ["human < k=40", "k=40 - human"]
    assert found.iloc[1]["mean"] == pytest.approx(2.2 - (0.2 + 0.25 + 0.35) / 3)


def test_a_crossed_design_judges_settings_by_its_own_interval(judge, training, metrics):
    levels = training["training_replicate"].to_numpy()
    crossed = training.assign(init=levels % 2, order=levels // 2, sample=0, mask=0, design="crossed")
    found = judge(value(2.4), order({"top_k": 40}, {"top_k": 1}), training=crossed)
    assert found["verdict"].tolist() == ["undecided", "undecided", "open"]
    assert "incomplete" in found.iloc[2]["note"]
