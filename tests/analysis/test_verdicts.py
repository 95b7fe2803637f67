"""Tests against a margin: what they promise at the margin, and against other implementations."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from harness.analysis.hypotheses import LEVEL, NOT_SUPPORTED, SUPPORTED, UNDECIDED
from harness.analysis.verdicts import (
    Evidence,
    Part,
    Sample,
    above,
    more_replicates,
    not_below,
    verdict,
    weigh,
    within,
)

STUDIES = 400  # an equivalence claim is weighed in 4 ms


def joint(n: int) -> Sample:
    return Sample("joint", {place: (place,) * 4 for place in range(n)})


def one(part: Part, n: int) -> Evidence:
    return weigh([part], joint(n))


def shares(
    effect: float, margin: float, n: int, seed: int, spread: float = 1.0, studies: int = STUDIES
) -> dict[str, float]:
    """How often an equivalence claim gets which verdict, over simulated studies of n pairs."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(studies):
        values = pd.Series(effect + spread * rng.normal(size=n))
        evidence = one(within("x", values, margin), n)
        found.append(verdict(evidence, evidence.p))
    return {name: found.count(name) / studies for name in (SUPPORTED, NOT_SUPPORTED, UNDECIDED)}


# Each side of the test is at 2.5 %: of 400 studies a true rate of .025 gives more than 5 % with a chance of .002.
@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("spread", [0.05, 1.0])
def test_equivalence_is_rarely_supported_at_the_margin(n: int, spread: float) -> None:
    found = shares(effect=1.0, margin=1.0, n=n, seed=n, spread=spread)
    print(f"n={n} spread={spread}: supported {found[SUPPORTED]:.4f}, not supported {found[NOT_SUPPORTED]:.4f}")
    assert found[SUPPORTED] <= 0.05
    assert found[NOT_SUPPORTED] <= 0.05


@pytest.mark.parametrize("n", [2, 3])
def test_few_noisy_seeds_never_support_equivalence(n: int) -> None:
    """No effect at all, but a spread of ten margins: absence of evidence must not pass for evidence of absence."""
    found = shares(effect=0.0, margin=0.1, n=n, seed=10 + n, studies=200)
    print(f"n={n}: supported {found[SUPPORTED]:.4f}")
    assert found[SUPPORTED] <= 0.05
    assert found[UNDECIDED] >= 0.9


def test_equivalence_is_found_where_it_is_clear() -> None:
    assert shares(effect=0.0, margin=1.0, n=8, seed=1, spread=0.2, studies=50)[SUPPORTED] == 1.0
    assert shares(effect=2.0, margin=1.0, n=8, seed=2, spread=0.2, studies=50)[NOT_SUPPORTED] == 1.0


def test_two_one_sided_tests_agree_with_statsmodels() -> None:
    from statsmodels.stats.weightstats import ttost_paired

    values = pd.Series(np.random.default_rng(3).normal(0.1, 0.3, size=8))
    expected = ttost_paired(values.to_numpy(), np.zeros(8), -0.5, 0.5)[0]
    assert one(within("x", values, 0.5), 8).p == pytest.approx(2.0 * expected, rel=1e-9)


@pytest.mark.parametrize("make", [above, not_below, within])
@pytest.mark.parametrize("effect", [-0.9, -0.3, 0.0, 0.3, 0.9])
def test_p_says_what_the_interval_says(make: object, effect: float) -> None:
    """P is at most .05 exactly where the 95 % interval lies on one side of the margin."""
    assert callable(make)
    for seed in range(20):
        values = pd.Series(effect + 0.4 * np.random.default_rng(seed).normal(size=6))
        evidence = one(make("x", values, 0.5), 6)
        low, high = evidence.effect.low, evidence.effect.high
        inside = {above: low > 0.5, not_below: low > -0.5, within: low > -0.5 and high < 0.5}[make]
        outside = {above: high < 0.5, not_below: high < -0.5, within: low > 0.5 or high < -0.5}[make]
        expected = SUPPORTED if inside else NOT_SUPPORTED if outside else UNDECIDED
        assert verdict(evidence, evidence.p) == expected


def test_a_margin_that_was_measured_brings_its_own_spread() -> None:
    """A share of another effect: where that effect is all noise, nothing is small beside it."""
    rng = np.random.default_rng(4)
    effect, other = pd.Series(rng.normal(0.0, 0.01, 8)), pd.Series(rng.normal(0.5, 3.0, 8))
    assert one(within("x", effect, 0.25 * other), 8).p > LEVEL
    steady = pd.Series(rng.normal(0.5, 0.01, 8))
    assert one(within("x", effect, 0.25 * steady), 8).p < LEVEL


def test_a_claim_of_two_parts_needs_both() -> None:
    rng = np.random.default_rng(5)
    good, bad, vague = (pd.Series(mean + 0.1 * rng.normal(size=8)) for mean in (1.0, -1.0, 0.01))
    for parts, expected in (((good, good), SUPPORTED), ((good, bad), NOT_SUPPORTED), ((good, vague), UNDECIDED)):
        evidence = weigh([above(str(at), values) for at, values in enumerate(parts)], joint(8))
        assert verdict(evidence, evidence.p) == expected
        assert evidence.shown.what == ("0" if expected == SUPPORTED and parts[0] is parts[1] else "1")


def test_the_one_of_many_parts_that_fails_pays_for_being_picked() -> None:
    rng = np.random.default_rng(6)
    values = pd.Series(-2.0 + rng.normal(size=8))
    good = pd.Series(5.0 + rng.normal(size=8))
    alone = one(above("x", values), 8).p
    assert alone < 0.2
    assert weigh([above("x", values), *[above("y", good)] * 4], joint(8)).p == pytest.approx(5.0 * alone)


def test_a_replicate_that_lacks_a_value_is_left_out_everywhere() -> None:
    first = pd.Series([1.0, 1.1, 1.2, math.nan])
    second = pd.Series([math.nan, 2.0, 2.1, 2.2])
    evidence = weigh([above("x", first), above("y", second)], joint(4))
    assert evidence.effect.n == 2


def test_isolated_replicates_decide_nothing() -> None:
    sample = Sample("isolated", {place: (place, 0, 0, 0) for place in range(8)})
    evidence = weigh([above("x", pd.Series(np.linspace(1.0, 2.0, 8)))], sample)
    assert math.isnan(evidence.p)
    assert "isolated" in evidence.note


def test_crossed_runs_are_not_counted_as_independent() -> None:
    """16 runs of 4 x 4 levels that differ by their init alone are 4 draws."""
    by_init = [0.2, 1.0, 1.4, 0.4]
    levels = {place: (place // 4, 0, place % 4, 0) for place in range(16)}
    values = pd.Series([by_init[place // 4] + 1e-3 * (place % 3) for place in range(16)])
    crossed = weigh([above("x", values)], Sample("crossed", levels))
    assert crossed.p > 10.0 * one(above("x", values), 16).p
    assert math.isnan(more_replicates(crossed, 1)), "runs share levels: their number alone says nothing"


def test_more_replicates_reach_the_power_that_they_promise() -> None:
    """Simulated: with the promised number 80 % of studies decide. 4,000 studies: one standard error is .6 points."""
    values = pd.Series([0.9, -0.5, 1.4, 0.2])
    evidence = one(above("x", values), 4)
    more = more_replicates(evidence, 1)
    n = 4 + int(more)
    rng = np.random.default_rng(7)
    draws = float(values.mean()) + float(values.std(ddof=1)) * rng.normal(size=(4000, n))
    from scipy.stats import ttest_1samp

    decided = (ttest_1samp(draws, 0.0, axis=1).pvalue <= LEVEL).mean()
    print(f"{more:.0f} more: {decided:.3f} decide")
    assert 0.78 < decided < 0.86
    assert more_replicates(evidence, 10) > more


def test_no_number_of_replicates_decides_an_effect_that_sits_on_the_margin() -> None:
    values = pd.Series([1.0, -1.0, 1.0, -1.0 + 1e-9])
    assert more_replicates(one(above("x", values), 4), 1) == math.inf
    prompts = pd.DataFrame([[-0.9, 0.3, 1.1, 0.5]] * 6)
    prompts += 1e-3 * np.random.default_rng(9).normal(size=prompts.shape)
    stuck = weigh([above("x", prompts)], joint(6))
    assert more_replicates(stuck, 1) == math.inf, "what varies between prompts stays, however many runs there are"
