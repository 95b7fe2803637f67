"""How a design's size decides its error, the cheapest design, and what a t test can find."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from simulator import drawn

from harness.analysis import allocation
from harness.analysis.allocation import Components, Costs, Size, best, cheapest, components_of
from harness.analysis.mean_squares import mean_squares
from harness.analysis.power import power, resolvable

PARTS = Components(training=0.4, prompt=0.7, both=1.1, decode=2.0, own=5.0)
COSTS = Costs(training=30.0, text=0.5)


def variance_of(parts: Components, runs: int, prompts: int, levels: int) -> float:
    """The formula as it stands in the module's docstring."""
    return (
        parts.training / runs
        + parts.prompt / prompts
        + parts.both / (runs * prompts)
        + parts.decode / (levels * prompts)
        + parts.own / (runs * levels * prompts)
    )


def test_the_error_of_a_design_is_the_formula() -> None:
    for runs, prompts, levels in ((2, 2, 1), (5, 40, 8), (100, 3, 2)):
        variance, df = PARTS.error(Size(runs, prompts, levels))
        assert variance == pytest.approx(variance_of(PARTS, runs, prompts, levels))
        assert min(runs, prompts) - 1 <= df <= runs * prompts
    assert Components(0.4).error(Size(4)) == pytest.approx((0.1, 3.0))
    assert all(math.isnan(number) for number in PARTS.error(Size(1, 10, 2)))


def test_the_error_of_a_design_is_the_spread_of_simulated_means() -> None:
    """4,000 studies: the standard error of their variance is 2.2 %, so 10 % off has a chance of 1e-5."""
    shape = {"training": 4, "prompt": 6, "decode": 3}
    variances = {"training": 0.4, "prompt": 0.7, "training x prompt": 1.1, "prompt x decode": 2.0,
                 "training x prompt x decode": 5.0}  # fmt: skip
    means = drawn(shape, variances, np.random.default_rng(1), studies=4000).mean(axis=(1, 2, 3))
    assert means.var(ddof=1) == pytest.approx(PARTS.error(Size(4, 6, 3))[0], rel=0.1)


def test_components_come_from_mean_squares_without_bias() -> None:
    """Where no estimate is near 0, so that none is cut; 400 studies, 4.5 standard errors: chance 7e-6 each."""
    shape = {"training": 12, "prompt": 30, "decode": 4}
    truth = {"training": 2.0, "prompt": 2.0, "training x prompt": 1.0, "prompt x decode": 1.0,
             "training x prompt x decode": 1.0}  # fmt: skip
    size = Size(12, 30, 4)
    found = [
        components_of(mean_squares(values[None]), size)
        for values in drawn(shape, truth, np.random.default_rng(2), studies=400)
    ]
    for name, true in zip(("training", "prompt", "both", "decode", "own"), truth.values(), strict=True):
        numbers = np.array([getattr(one, name) for one in found])
        assert abs(numbers.mean() - true) < 4.5 * numbers.std() / 20.0, name


@pytest.fixture
def small_search(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    monkeypatch.setattr(allocation, "MOST_RUNS", 12)
    monkeypatch.setattr(allocation, "MOST_LEVELS", 6)
    return list(itertools.product(range(2, 13), range(1, 41), range(1, 7)))


def test_the_cheapest_design_is_that_of_brute_force(small_search: list[tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(3)
    found_none = 0
    for _ in range(60):
        parts = Components(*rng.gamma(0.5, size=5))
        costs = Costs(*rng.gamma(1.0, [[10.0], [0.3]], size=(2, 1)).ravel())
        wanted = variance_of(parts, *small_search[rng.integers(len(small_search))]) * rng.uniform(0.9, 1.3)
        prices = [
            costs.of(Size(runs, prompts, levels))
            for runs, prompts, levels in small_search
            if variance_of(parts, runs, prompts, levels) <= wanted * (1 + 1e-12)
        ]
        found = cheapest(parts, costs, wanted, 40)
        if found is None:
            found_none += 1
            assert not prices
        else:
            assert parts.error(found)[0] <= wanted * (1 + 1e-8)
            assert costs.of(found) == pytest.approx(min(prices))
    assert found_none < 30


def test_the_best_design_for_a_budget_is_that_of_brute_force(small_search: list[tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        parts = Components(*rng.gamma(0.5, size=5))
        costs = Costs(float(rng.gamma(1.0, 10.0)), float(rng.gamma(1.0, 0.3)))
        budget = costs.of(Size(*small_search[rng.integers(len(small_search))])) * rng.uniform(0.9, 1.3)
        affordable = [one for one in small_search if costs.of(Size(*one)) <= budget * (1 + 1e-12)]
        found = best(parts, costs, budget, 40)
        if found is None:
            assert not affordable
        else:
            assert costs.of(found) <= budget * (1 + 1e-8)
            assert parts.error(found)[0] == pytest.approx(min(variance_of(parts, *one) for one in affordable))


def test_a_wish_beyond_the_prompts_needs_more_levels_or_cannot_be_had() -> None:
    noisy = Components(training=0.01, own=100.0)
    few = cheapest(noisy, COSTS, 0.05, most_prompts=10)
    many = cheapest(noisy, COSTS, 0.05, most_prompts=100_000)
    assert few is not None
    assert many is not None
    assert few.levels > many.levels == 1
    assert cheapest(Components(training=1.0), COSTS, 1e-9, 100) is None
    assert best(PARTS, COSTS, 1.0, 100) is None


@pytest.mark.parametrize(("pairs", "family"), [(3, 1), (5, 4), (8, 8), (30, 2)])
def test_power_is_what_simulated_tests_find(pairs: int, family: int) -> None:
    """20,000 studies at the resolvable difference: .8 +- .0028, so .014 off has a chance of 6e-7."""
    difference = resolvable(1.0 / math.sqrt(pairs), pairs - 1.0, family)
    dice = np.random.default_rng(pairs)
    found = stats.ttest_1samp(dice.normal(difference, 1.0, size=(20_000, pairs)), 0.0, axis=1).pvalue
    rate = float((found < 0.05 / family).mean())
    print(f"power | {pairs} pairs, {family} contrasts: {difference:.3f} sd is found in {rate:.4f}")
    assert rate == pytest.approx(0.8, abs=0.014)


def test_power_is_scipys_noncentral_t_and_the_level_where_nothing_is() -> None:
    threshold = stats.t.ppf(1 - 0.025 / 3, 6)
    expected = stats.nct.sf(threshold, 6, 2.0) + stats.nct.cdf(-threshold, 6, 2.0)
    assert power(1.0, 0.5, 6, 3) == pytest.approx(expected)
    assert power(0.0, 0.5, 6, 3) == pytest.approx(0.05 / 3)
    assert math.isnan(resolvable(0.0, 5.0))
    assert math.isnan(resolvable(math.nan, 5.0))


def test_the_published_table_of_smallest_differences() -> None:
    """Two arms of n runs, unpaired, sd 2.4: 4.9 points with n = 5, 2.2 with n = 20 (2 (n - 1) degrees of freedom)."""
    for runs, published in ((3, 7.4), (5, 4.9), (10, 3.2), (20, 2.2)):
        assert resolvable(2.4 * math.sqrt(2 / runs), 2.0 * (runs - 1)) == pytest.approx(published, abs=0.051)
