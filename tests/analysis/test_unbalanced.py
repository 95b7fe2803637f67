"""Missing values: the balanced estimator where nothing is missing, unbiased, covering, and near REML."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from simulator import Floats, drawn, shape_of

from harness.analysis.crossed import Layout, squares
from harness.analysis.heads import heads
from harness.analysis.pivots import estimates
from harness.analysis.unbalanced import reml, unweighted_means

TEXT = {"training": 0.05, "prompt": 0.1, "training x prompt": 0.05}
TEXT |= {"decode x prompt": 0.4, "training x decode x prompt": 0.6}
TRUTH = {**TEXT, "inference": 1.0, "total": 1.2}


def texts(dice: np.random.Generator, runs: int = 4, prompts: int = 16, decode: int = 5) -> Floats:
    return drawn(shape_of(training=runs, prompts=prompts, decode=decode), TEXT, dice).reshape(runs, prompts, decode)


def numbers(values: Floats) -> dict[str, float]:
    found, rows = unweighted_means(values)
    return {name: float(row @ found.mean[0]) for name, row in rows.items()}


def test_complete_texts_give_the_balanced_estimates() -> None:
    values = texts(np.random.default_rng(1))
    layout = Layout(1, prompt=True, decode=True)
    found = squares(values[None], layout)
    balanced = {name: float(row @ found.mean[0]) for name, row in heads(layout, found.weights).items()}
    assert numbers(values) == pytest.approx(balanced)


def test_complete_crossed_texts_give_the_balanced_heads() -> None:
    shape = shape_of(training={"init": 2, "order": 3}, prompts=6, decode=4)
    variances = {"init": 0.5, "init x order": 0.3, "prompt": 0.4, "init x prompt": 0.2}
    values = drawn(shape, variances | {"init x order x decode x prompt": 1.0}, np.random.default_rng(2))
    layout = Layout(2, prompt=True, decode=True)
    found = squares(values.reshape(1, 2, 3, 6, 4), layout)
    balanced = {name: float(row @ found.mean[0]) for name, row in heads(layout, found.weights).items()}
    mine = numbers(values.reshape(2, 3, 6, 4))
    assert set(mine) == {"training", "inference", "total"}
    assert mine == pytest.approx({name: balanced[name] for name in mine})


def test_one_run_tells_the_inference_die() -> None:
    values = texts(np.random.default_rng(3), runs=1)[0]
    values[0, 1:] = math.nan
    values[1, 3] = math.nan
    within = [row[~np.isnan(row)] for row in values[1:]]
    pooled = sum(float(np.square(row - row.mean()).sum()) for row in within) / sum(len(row) - 1 for row in within)
    assert numbers(values)["inference"] == pytest.approx(pooled)


def test_missing_texts_leave_the_estimates_unbiased_and_the_intervals_cover() -> None:
    # 800 studies with 30 % of the replicates missing. Each mean of estimates is within 4.5 standard errors of the
    # truth with probability 1 - 7e-6; a coverage of .95 has standard error .0077 and is within .92 and .98 with
    # probability 1 - 1e-4, of each of seven quantities. The intervals are approximate.
    dice = np.random.default_rng(4)
    values: dict[str, list[float]] = {name: [] for name in TRUTH}
    covered = dict.fromkeys(TRUTH, 0)
    for _ in range(800):
        table = texts(dice)
        missing = dice.random(table.shape) < 0.3
        missing[..., 0] = False
        table[missing] = math.nan
        found, rows = unweighted_means(table)
        several = estimates(found.mean, found.df, np.stack(list(rows.values())))
        for place, name in enumerate(rows):
            values[name].append(float(several.value[0, place]))
            covered[name] += bool(several.low[0, place] <= TRUTH[name] <= several.high[0, place])
    print({name: count / 800 for name, count in covered.items()})
    for name, truth in TRUTH.items():
        error = np.std(values[name], ddof=1) / math.sqrt(800)
        assert abs(np.mean(values[name]) - truth) < 4.5 * error, name
        assert 0.92 <= covered[name] / 800 <= 0.985, name


def crossed(shape: tuple[int, int, int], seed: int) -> tuple[list[tuple[int, ...]], Floats]:
    variances = {"init": 1.0, "order": 0.8, "mask": 0.7, "init x order": 0.6, "init x mask": 0.5, "order x mask": 0.6}
    levels = dict(zip(("init", "order", "mask"), shape, strict=True))
    dice = np.random.default_rng(seed)
    values = drawn(levels, {**variances, "init x order x mask": 0.3}, dice)[0]
    runs = [(i, 0, o, m) for i, o, m in itertools.product(*map(range, shape))]
    return runs, values


def test_reml_of_complete_runs_is_moments_where_all_components_are_positive() -> None:
    levels, values = crossed((4, 4, 4), 2)
    layout = Layout(3, prompt=False, decode=False)
    found = squares(values[None], layout)
    moments = found.weights @ found.mean[0]
    assert moments.min() > 0.0
    fitted = reml(levels, values.ravel().tolist())
    assert fitted is not None
    for term, moment in zip(layout.terms(), moments, strict=True):
        assert fitted[tuple(sorted(term))] == pytest.approx(moment, rel=5e-3)


def test_reml_of_incomplete_runs_is_near_that_of_all() -> None:
    levels, values = crossed((4, 4, 4), 2)
    numbers = values.ravel().tolist()
    whole, part = reml(levels, numbers), reml(levels[3:], numbers[3:])
    assert whole is not None
    assert part is not None
    assert sum(part.values()) == pytest.approx(sum(whole.values()), rel=0.25)
    assert min(part.values()) >= 0.0


def test_reml_says_nothing_of_too_few_or_equal_runs() -> None:
    levels, values = crossed((2, 2, 2), 2)
    assert reml(levels, values.ravel().tolist()) is None
    assert reml([(i, 0, o, 0) for i in range(3) for o in range(4)], [0.5] * 12) is None


def test_unweighted_means_are_near_reml_of_texts() -> None:
    # One table of 6 runs x 16 prompts x 5 replicates with an eighth missing; both estimate the same components.
    from statsmodels.regression.mixed_linear_model import MixedLM

    dice = np.random.default_rng(5)
    table = texts(dice, runs=6)
    missing = dice.random(table.shape) < 0.125
    missing[..., 0] = False
    table[missing] = math.nan
    rows = pd.DataFrame([(t, p, d, table[t, p, d]) for t, p, d in np.ndindex(table.shape)], columns=list("tpdy"))
    formulas = {"t": "0 + C(t)", "p": "0 + C(p)", "tp": "0 + C(t):C(p)", "dp": "0 + C(p):C(d)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM.from_formula("y ~ 1", rows.dropna().assign(one=1), groups="one", vc_formula=formulas)
        fitted = model.fit(reml=True, method=["lbfgs", "powell"])
    by_name = dict(zip(model.exog_vc.names, fitted.vcomp, strict=True))
    mine = numbers(table)
    assert mine["inference"] == pytest.approx(by_name["dp"] + fitted.scale, rel=0.05)
    assert mine["decode x prompt"] == pytest.approx(by_name["dp"], rel=0.1)
    assert mine["training"] == pytest.approx(by_name["t"], abs=0.02)
    assert mine["prompt"] == pytest.approx(by_name["p"], abs=0.03)
