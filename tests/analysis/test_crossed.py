"""The model of training x prompt x decode: by hand, against statsmodels, unbiased, and heavy tails told by df."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from simulator import drawn, shape_of

from harness.analysis.crossed import EQUAL, Layout, squares
from harness.analysis.heads import heads, per_score
from harness.analysis.pivots import estimates

TEXT = Layout(1, prompt=True, decode=True)
# Two runs x two prompts x two decode levels.
HAND = np.array([[[1.0, 3.0], [5.0, 5.0]], [[2.0, 6.0], [8.0, 10.0]]])


def test_decode_is_nested_in_prompt() -> None:
    names = {frozenset({0}), frozenset({1}), frozenset({0, 1}), frozenset({1, 2}), frozenset({0, 1, 2})}
    assert set(TEXT.terms()) == names
    assert {frozenset({1}), frozenset({0, 1})} < set(Layout(1, prompt=False, decode=True).terms())
    assert len(Layout(3, prompt=True, decode=True).terms()) == 7 + 8 + 8


def test_by_hand() -> None:
    # Run means 3.5, 6.5: MS_T = 4 * (1.5^2 + 1.5^2) / 1 = 18. Prompt means 3, 7: MS_P = 4 * (2^2 + 2^2) = 32.
    # Cell means 2, 5, 4, 9; what is left of them: 2 - 3.5 - 3 + 5 = .5: MS_TP = 2 * 4 * .25 = 2.
    # Decode means of prompt 1: 1.5, 4.5; of prompt 2: 6.5, 7.5: MS_DP = 2 * (2 * 1.5^2 + 2 * .5^2) / 2 = 5.
    # Left: prompt 1 run 1: (-1, 1) - (-1.5, 1.5) = (.5, -.5), prompt 2: (0, 0) - (-.5, .5): all eight +-.5: 2 / 2 = 1.
    found = squares(HAND[None], TEXT)
    assert found.mean[0] == pytest.approx([18.0, 32.0, 2.0, 5.0, 1.0])
    # T = (18 - 2) / 4, P = (32 - 2 - 5 + 1) / 4, TP = (2 - 1) / 2, DP = (5 - 1) / 2, TDP = 1.
    rows = heads(TEXT, found.weights)
    values = {name: float(row @ found.mean[0]) for name, row in rows.items()}
    assert values == pytest.approx(
        {
            "training": 4.0,
            "prompt": 6.5,
            "training x prompt": 0.5,
            "inference": 3.0,
            "decode x prompt": 2.0,
            "training x decode x prompt": 1.0,
            "total": 14.0,
        }
    )
    score = {name: float(row @ found.mean[0]) for name, row in per_score(rows, 2).items()}
    assert (score["training"], score["inference"], score["total"]) == pytest.approx((4.0, 1.5, 9.0))


def test_degrees_of_freedom_are_at_most_nominal() -> None:
    shape = shape_of(training=4, prompts=6, decode=5)
    values = drawn(shape, {"training x decode x prompt": 1.0}, np.random.default_rng(1), studies=50)
    df = squares(values.reshape(50, 4, 6, 5), TEXT).df
    assert (df <= np.array([3, 5, 15, 24, 72]) + 1e-9).all()
    assert (df[:, 0] == 3).all()
    assert np.median(df[:, 4]) > 30


def test_prompts_of_unequal_variance_lower_the_degrees_of_freedom() -> None:
    shape = shape_of(training=3, prompts=40, decode=8)
    values = drawn(shape, {"training x decode x prompt": 1.0}, np.random.default_rng(2)).reshape(1, 3, 40, 8)
    values[:, :, ::4] *= 4.0
    df = squares(values, TEXT).df[0]
    assert df[4] < 200  # nominal 560; ten prompts of forty bring 16 / 19 of it


def test_mean_squares_agree_with_statsmodels() -> None:
    from statsmodels.formula import api as formula
    from statsmodels.stats.anova import anova_lm

    shape = shape_of(training=3, prompts=4, decode=3)
    variances = {"training": 1.0, "prompt": 2.0, "training x prompt": 0.5, "training x decode x prompt": 1.0}
    values = drawn(shape, variances, np.random.default_rng(3)).reshape(3, 4, 3) + 7.0
    rows = pd.DataFrame([(t, p, d, values[t, p, d]) for t, p, d in np.ndindex(values.shape)], columns=list("tpdy"))
    table = anova_lm(formula.ols("y ~ C(t) * C(p) + C(p):C(d)", rows).fit(), typ=2)
    found = squares(values[None], TEXT)
    names = ["C(t)", "C(p)", "C(t):C(p)", "C(p):C(d)", "Residual"]
    nominal = [2, 3, 6, 8, 16]
    assert [table.loc[name, "df"] for name in names] == nominal
    expected = [table.loc[name, "sum_sq"] / df for name, df in zip(names, nominal, strict=True)]
    assert found.mean[0] == pytest.approx(expected)


# 3,000 studies a design; each mean of estimates is within 4.5 standard errors of the truth with probability 1 - 7e-6.
@pytest.mark.parametrize(
    ("training", "prompts", "decode"),
    [(3, 6, 3), (8, 5, 2), ({"init": 3, "order": 3}, 4, 3), ({"init": 2, "order": 2, "mask": 3}, 4, 2)],
)
def test_estimates_are_unbiased(training: int | dict[str, int], prompts: int, decode: int) -> None:
    roles = ["training"] if isinstance(training, int) else list(training)
    first, every = roles[0], " x ".join(roles)
    variances = {first: 1.0, "prompt": 0.5, f"{every} x prompt": 0.4, "decode x prompt": 0.8}
    variances |= {f"{first} x decode x prompt": 0.3, f"{every} x decode x prompt ": 0.6}
    variances = {name.strip(): variance for name, variance in variances.items()}
    if len(roles) == 1:
        variances["training x decode x prompt"] = 0.9
    shape = shape_of(training=training, prompts=prompts, decode=decode)
    values = drawn(shape, variances, np.random.default_rng([4, prompts, len(roles)]), studies=3000)
    found = squares(values.reshape(3000, *[size for size in values.shape[1:] if size > 1]), layout_of(roles))
    wanted = {"training": 1.0, "prompt": 0.5, "training x prompt": 0.4, "inference": 1.7, "decode x prompt": 0.8}
    for name, row in heads(layout_of(roles), found.weights).items():
        estimate = found.mean @ row
        truth = {**wanted, "training x decode x prompt": 0.9, "total": 3.6}[name]
        assert abs(estimate.mean() - truth) < 4.5 * estimate.std(ddof=1) / math.sqrt(3000), name


def layout_of(roles: list[str]) -> Layout:
    return Layout(len(roles), prompt=True, decode=True)


def test_values_that_do_not_vary_are_exactly_zero() -> None:
    values = np.full((1, 3, 5, 4), 0.1) + np.arange(5.0)[:, None] / 3.0
    found = squares(values, TEXT)
    assert found.mean[0, [0, 2, 3, 4]].tolist() == [0.0] * 4
    several = estimates(found.mean, found.df, found.weights)
    assert several.value[0, 3] == 0.0
    assert math.isnan(several.low[0, 3])


def test_only_training_varies() -> None:
    # Known answer: the other components are zero, though prompts have means of their own.
    values = np.random.default_rng(5).normal(size=(1, 4, 1, 1)) + np.zeros((1, 4, 6, 3))
    found = squares(values, TEXT)
    rows = heads(TEXT, found.weights)
    assert float(rows["training"] @ found.mean[0]) == pytest.approx(float(values[0, :, 0, 0].var(ddof=1)))
    assert [float(rows[name] @ found.mean[0]) for name in ("training x prompt", "inference")] == [0.0, 0.0]
    assert abs(float(rows["prompt"] @ found.mean[0])) <= EQUAL
