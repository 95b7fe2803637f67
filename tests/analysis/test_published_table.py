import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from harness.analysis.intervals import Interval
from harness.analysis.published import COLUMNS, prediction_interval, published_table
from harness.spec.published_forms import PublishedOrdering, PublishedValue

REGIMES = ["none", "standard"]
SOURCE = {"source": "Someone 2020, arXiv 0000.00000", "estimator": "last evaluation", "same_estimator": True}
WHERE = {"task": "sst2", "model": "bert", "split": "test", "metric": "loss", **SOURCE}


def value(number, regime="none", **more):
    return PublishedValue.model_validate({**WHERE, "regime": regime, "value": number, **more})


def order(*arms, **more):
    return PublishedOrdering.model_validate({**WHERE, "ordering": list(arms), **more})


def table(training, cells, *numbers):
    return published_table(numbers, training, cells, regimes=REGIMES)


def only(training, cells, *numbers):
    found = table(training, cells, *numbers)
    assert len(found) == 1
    return found.iloc[0]


def test_the_prediction_interval_by_hand(training, cells):
    # ours: 0.50, 0.70, 0.60: mean 0.6, s 0.1, n 3; published: 5 runs with sd 0.02
    found = only(training, cells, value(0.61, spread=0.02, n=5))
    half = stats.t.ppf(0.975, 2) * math.sqrt(0.01 / 3 + 0.0004 / 5)
    assert (found["prediction_low"], found["prediction_high"]) == pytest.approx((0.6 - half, 0.6 + half))
    assert (found["mean"], found["sd"], found["n"]) == (pytest.approx(0.6), pytest.approx(0.1), 3)
    assert (found["published"], found["spread"], found["published_n"]) == (0.61, 0.02, 5)
    assert found["verdict"] == "agrees"


@pytest.mark.parametrize(("side", "verdict"), [(0.99, "agrees"), (1.01, "does not agree")])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("spread", "runs"), [(None, 1), (0.02, 5), (0.3, 2)])
def test_the_verdict_turns_at_the_bounds_of_the_interval(training, cells, side, sign, verdict, spread, runs):
    theirs = 0.1 if spread is None else spread
    df = 2 if spread is None else min(3, runs) - 1
    half = stats.t.ppf(0.975, df) * math.sqrt(0.01 / 3 + theirs**2 / runs)
    found = only(training, cells, value(0.6 + sign * side * half, spread=spread, n=runs))
    assert found["verdict"] == verdict


def coverage(n, m, known, df=None, trials=4000):
    """Share of trials in which the mean of m new runs lies in the interval of n runs; all runs from one normal."""
    draws = np.random.default_rng(20240917).normal(2.0, 0.3, size=(trials, n + m))
    hits = 0
    for ours, theirs in zip(draws[:, :n], draws[:, n:], strict=True):
        sd = float(ours.std(ddof=1))
        seen = Interval(n, float(ours.mean()), sd, 0.0, 0.0)
        spread = float(theirs.std(ddof=1)) if known else None
        low, high = prediction_interval(seen, spread, m)
        if df:
            half = stats.t.ppf(0.975, df) * math.sqrt(sd**2 / n + theirs.var(ddof=1) / m)
            low, high = seen.mean - half, seen.mean + half
        hits += low <= theirs.mean() <= high
    return hits / trials


@pytest.mark.parametrize(("n", "m"), [(2, 1), (3, 1), (5, 5)])
def test_an_unknown_spread_gives_exact_coverage(n, m):
    # The rule is exact: 4,000 trials give .95 with a standard error of .0034. 4 of them: false alarm 6e-5 per case.
    assert coverage(n, m, known=False) == pytest.approx(0.95, abs=0.0138)


@pytest.mark.parametrize(("n", "m"), [(3, 5), (3, 25), (25, 5), (5, 5)])
def test_a_known_spread_covers_at_least_what_it_says(n, m):
    # Conservative: true coverage is above .95, so falling 4 standard errors below has a false-alarm rate below 3.2e-5.
    assert coverage(n, m, known=True) >= 0.95 - 0.0138


def test_many_runs_of_ours_do_not_make_five_published_ones_certain():
    # With df = n - 1 = 24 the interval covers about .89 only. 4,000 trials: .93 is 8 standard errors away.
    assert coverage(25, 5, known=True, df=24) < 0.93


def test_too_few_replicates_are_undecided(training, cells):
    first = training["training_replicate"] == 0
    missing = cells.assign(status=["done" if r == 0 else "missing" for r in cells["training_replicate"]])
    found = only(training[first], missing, value(0.5))
    assert (found["verdict"], found["n"], found["missing"]) == ("undecided", 1, 2)
    assert "fewer than two" in found["note"]


def test_equal_replicates_are_undecided(training, cells):
    found = only(training.assign(value=0.5), cells, value(0.5))
    assert found["verdict"] == "undecided"
    assert "all our replicates are equal" in found["note"]


def test_an_arm_with_a_failed_cell_is_undecided_and_says_so(training, cells):
    lost = cells["uid"] == "none2"
    broken = cells.assign(status=np.where(lost, "diverged", "done"))
    rows = training[training["uid"] != "none2"]
    found = only(rows, broken, value(0.6))
    assert (found["verdict"], found["failed"], found["n"]) == ("undecided", 1, 2)
    assert "none: 1 failed" in found["note"]
    assert math.isnan(found["prediction_low"])


def test_a_metric_that_the_cells_lack_is_said(training, cells):
    found = only(
        training, cells, PublishedValue.model_validate({**WHERE, "regime": "none", "value": 1, "metric": "f1"})
    )
    assert (found["verdict"], found["n"]) == ("undecided", 0)
    assert "the cells have no test.f1" in found["note"]
    nothing = table(training.iloc[:0], cells.assign(status="missing"), value(1.0), order("standard", "none"))
    assert set(nothing["verdict"]) == {"undecided", "open"}
    assert "no cell is done" in nothing.iloc[0]["note"]
    assert nothing.iloc[0]["missing"] == 3


def test_a_best_of_runs_is_shown_and_not_compared(training, cells):
    found = only(training, cells, value(0.1, n=625, statistic="best"))
    assert found["verdict"] == "undecided"
    assert "the best of 625 runs" in found["note"]
    assert not math.isnan(found["ci_low"])


def test_replicates_that_share_draws_are_undecided(training, cells):
    found = only(training.assign(init=0, sample=0, mask=0, design="isolated"), cells, value(0.6))
    assert found["verdict"] == "undecided"
    assert "its runs share levels" in found["note"]
    assert math.isnan(found["prediction_low"])


def crossed(training, cells, effect):
    """2 x 2 runs (init x order) of both arms; the second arm is higher by `effect` and a little noise."""
    rows, more = [], []
    noise = [0.001, -0.002, 0.002, -0.001]
    for regime, shift in (("none", 0.0), ("standard", effect)):
        for r in range(4):
            one = training[training["uid"] == f"{regime}0"].assign(uid=f"{regime}{r}", training_replicate=r)
            value = 1.0 + 0.5 * (r // 2) + 0.2 * (r % 2) + shift + (noise[r] if shift else 0.0)
            rows.append(one.assign(init=r // 2, order=r % 2, sample=0, mask=0, design="crossed", value=value))
            more.append(cells[cells["uid"] == f"{regime}0"].assign(uid=f"{regime}{r}", training_replicate=r))
    return pd.concat(rows), pd.concat(more)


def test_a_crossed_design_shows_its_mean_and_judges_orders_by_its_own_interval(training, cells):
    found = only(*crossed(training, cells, 0.3), value(1.3))
    assert (found["verdict"], found["n"], found["mean"]) == ("undecided", 4, pytest.approx(1.35))
    assert "crossed design" in found["note"]
    steps = table(*crossed(training, cells, 0.3), order("none", "standard"))
    assert steps["verdict"].tolist() == ["agrees", "above 0"]
    assert steps.iloc[1]["mean"] == pytest.approx(0.3)
    lost = crossed(training, cells, 0.3)
    lacking = table(lost[0][lost[0]["uid"] != "none3"], lost[1].assign(
        status=np.where(lost[1]["uid"] == "none3", "missing", "done")), order("none", "standard"))  # fmt: skip
    assert lacking["verdict"].tolist() == ["undecided", "open"]
    assert "incomplete" in lacking.iloc[1]["note"]


def test_repeats_are_no_replicates(training, cells, make_training_row, make_cell_row):
    again = make_training_row("again", "none", 0, "test", "loss", 0.9, repeat=1)
    more = pd.concat([cells, pd.DataFrame([make_cell_row("again", "none", 0)])]).assign(repeat=0)
    more.loc[more["uid"] == "again", "repeat"] = 1
    found = only(pd.concat([training, pd.DataFrame([again])]), more, value(0.6))
    assert (found["n"], found["mean"]) == (3, pytest.approx(0.6))


def with_values(training, none, standard):
    test = training["split"] == "test"
    values = dict(
        zip([f"none{r}" for r in range(3)] + [f"standard{r}" for r in range(3)], none + standard, strict=True)
    )
    return training.assign(value=[values[u] if t else 0.1 for u, t in zip(training["uid"], test, strict=True)])


@pytest.mark.parametrize(
    ("standard", "verdict", "step"),
    [
        ([1.11, 2.10, 3.09], "agrees", "above 0"),
        ([0.89, 1.90, 2.91], "does not agree", "below 0"),
        ([1.11, 1.90, 3.30], "undecided", "open"),
    ],
)
def test_an_order_is_judged_by_paired_differences(training, cells, standard, verdict, step):
    """The replicates differ by 1, the arms by 0.1: only pairing sees it."""
    found = table(with_values(training, [1.0, 2.0, 3.0], standard), cells, order("none", "standard"))
    assert found["kind"].tolist() == ["ordering", "difference"]
    assert found["verdict"].tolist() == [verdict, step]
    assert found["regime"].tolist() == ["none < standard", "standard - none"]
    difference = found.iloc[1]
    pairs = [b - a for a, b in zip([1.0, 2.0, 3.0], standard, strict=True)]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(pairs), scale=stats.sem(pairs))
    assert (difference["ci_low"], difference["ci_high"]) == pytest.approx((low, high))
    turned = table(with_values(training, [1.0, 2.0, 3.0], standard), cells, order("standard", "none"))
    opposite = {"agrees": "does not agree", "does not agree": "agrees", "undecided": "undecided"}
    assert turned.iloc[0]["verdict"] == opposite[verdict]


def test_one_wrong_step_breaks_an_order_and_an_open_one_leaves_it_open(training, cells):
    rows, more = [training], [cells]
    for name, shift in (("third", [-0.5, -0.51, -0.49]), ("fourth", [0.3, -0.4, 0.1])):
        here = training[training["regime"] == "standard"]
        change = here["training_replicate"].map(dict(enumerate(shift)))
        uids = here["uid"].str.replace("standard", name)
        rows.append(here.assign(regime=name, uid=uids, value=here["value"] + change))
        mine = cells[cells["regime"] == "standard"]
        more.append(mine.assign(regime=name, uid=mine["uid"].str.replace("standard", name)))
    regimes = [*REGIMES, "third", "fourth"]
    tables = (pd.concat(rows), pd.concat(more))
    wrong = published_table([order("standard", "fourth", "third")], *tables, regimes=regimes)
    assert wrong.iloc[0]["verdict"] == "undecided"
    wrong = published_table([order("standard", "third", "fourth")], *tables, regimes=regimes)
    assert wrong["verdict"].tolist() == ["does not agree", "below 0", "open"]
    right = published_table([order("third", "standard", "fourth")], *tables, regimes=regimes)
    assert right["verdict"].tolist() == ["undecided", "above 0", "open"]


def test_an_order_with_a_failed_arm_is_undecided(training, cells):
    broken = cells.assign(status=np.where(cells["regime"] == "standard", "error", "done"))
    found = table(training[training["regime"] == "none"], broken, order("none", "standard"))
    assert found["verdict"].tolist() == ["undecided", "open"]
    assert "standard: no cell is done" in found.iloc[0]["note"]
    assert found.iloc[0]["failed"] == 3


def test_without_published_numbers_the_table_is_empty(training, cells):
    assert table(training, cells).columns.tolist() == COLUMNS
    assert table(training, cells).empty
