"""Effects: by hand, against statsmodels, additive, unbiased, and with intervals that cover."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from simulator import block_of, drawn, shape_of, study_of_blocks

from harness.analysis import random_parts
from harness.analysis.effects import COLUMNS, effects
from harness.analysis.fixed import Estimate, contrast, effect_variance, mean_error
from harness.analysis.mean_squares import EVERY, Floats, every, mean_squares, parts, projected
from harness.analysis.random_parts import Shape, Weights, added, component_weights, estimates

STUDIES = 1000
AXES = {"regime": 0, "setting": 1}
# Every component that a study of texts can have; `regime x ...` is drawn anew for each regime.
VARIANCES = {
    "training": 0.5,
    "prompt": 1.0,
    "training x prompt": 0.4,
    "regime x training": 0.4,
    "setting x training": 0.3,
    "setting x prompt": 0.5,
    "regime x prompt": 0.2,
    "regime x setting x training x prompt": 0.3,
    "prompt x decode": 1.0,
    "training x prompt x decode": 1.0,
    "setting x prompt x decode": 0.5,
}
MEANS = np.add.outer([0.0, 0.5, -0.5], [-1.0, 0.0, 0.0, 1.0]) + np.outer([0.0, 0.5, -0.5], [0.0, 0.0, -0.5, 0.5])


def table_of(values: Floats, **fields: Any) -> Any:
    return effects(study_of_blocks([block_of(values, **fields)])).set_index("effect")


def test_one_value_a_run_by_hand() -> None:
    # Regimes [2, 4] and [5, 9]: differences 3 and 5, mean 4 with variance 2 / 2 = 1, so the mean's error is 1.
    # Regime means lie 2 either side of the grand mean: variance 4, of which 1 / 4 is bias.
    values = np.array([[2.0, 4.0], [5.0, 9.0]]).reshape(2, 1, 2, 1, 1)
    rows = table_of(values, unit="split", split="test")
    assert rows.at["regime", "variance"] == pytest.approx(4.0 - 0.25)
    # Runs (means over regimes): 3.5 and 6.5, variance 4.5. Half differences -1.5 and -2.5: variance .5.
    assert rows.at["training", "variance"] == pytest.approx(4.5)
    assert rows.at["regime x training", "variance"] == pytest.approx(0.5)
    assert rows.at["total", "variance"] == pytest.approx(3.75 + 4.5 + 0.5)
    assert rows.at["regime", "contrast"] == pytest.approx(4.0)
    # One pair: Student's t with 1 degree of freedom, standard error 1.
    assert rows.at["regime", "contrast_low"] == pytest.approx(4.0 - 12.7062, abs=1e-3)
    assert rows.at["regime", "contrast_what"] == "regime-1 - none"
    assert rows.at["inference", "variance"] == 0.0
    assert "by construction" in rows.at["inference", "note"]


def test_mean_squares_are_those_of_statsmodels() -> None:
    anova = pytest.importorskip("statsmodels.stats.anova")
    formula = pytest.importorskip("statsmodels.formula.api")
    values = drawn(shape_of(training=3, prompts=4, regimes=2, settings=3), {"training": 1, "prompt": 1, "setting": 1},
                   np.random.default_rng(3))[0]  # fmt: skip
    values = values + np.random.default_rng(4).normal(size=values.shape)
    places = np.array(list(np.ndindex(values.shape)))[:, :4]
    frame = pd.DataFrame(places, columns=list("abtp")).assign(y=values.ravel())
    table = anova.anova_lm(formula.ols("y ~ C(a) * C(b) * C(t) * C(p)", frame).fit(), typ=1)
    letters = {0: "a", 1: "b"}
    for part in parts(values):
        fixed = [f"C({letters[axis]})" for axis in part.axes]
        copies = values.size / part.scores.size
        for name, square in part.squares.items():
            line = table.loc[":".join(fixed + [f"C({letter})" for letter in name.lower()])]
            # Ours is averaged over the fixed levels, not over their degrees of freedom, and of means over the others.
            theirs = line["sum_sq"] / copies / len(part.scores) / (line["df"] / part.freedom)
            assert square.value == pytest.approx(theirs), (part.axes, name)
        if part.axes:
            assert (part.means**2).sum() * values.size / len(part.means) == pytest.approx(
                table.loc[":".join(fixed), "sum_sq"]
            )


def test_all_rows_add_up_to_the_variance_of_one_value_of_the_grid() -> None:
    values = drawn(shape_of(training=4, prompts=25, decode=3, regimes=3, settings=4), VARIANCES,
                   np.random.default_rng(5))[0]  # fmt: skip
    rows = table_of(values + MEANS[:, :, None, None, None])
    whole = rows.at["total", "variance"]
    assert rows.loc[rows.index != "total", "variance"].sum() == pytest.approx(whole)
    assert rows.loc[rows.index != "total", "share"].sum() == pytest.approx(1.0)
    # The decode part is the plain variance within (regime, setting, run, prompt), whoever shares noise with whom.
    assert rows.at["inference", "variance"] == pytest.approx(values.var(axis=4, ddof=1).mean())
    assert list(rows.columns) == [name for name in COLUMNS if name != "effect"]
    assert list(rows.index[:5]) == ["regime", "top_k", "regime x top_k", "training", "prompt"]
    assert set(rows["range"]) == {"k 5 to 40; regimes none, regime-1, regime-2"}


def truths(shape: dict[str, int], variances: dict[str, float], means: Floats) -> dict[Any, float]:
    """The true finite-population variances: what is drawn anew for each regime is partly common to all."""
    found: dict[Any, float] = {}
    for name, variance in variances.items():
        fixed = [factor for factor in name.split(" x ") if factor in AXES]
        rest = [factor for factor in name.split(" x ") if factor not in AXES]
        for size in range(len(fixed) + 1):
            for subset in itertools.combinations(fixed, size):
                shares = [1 - 1 / shape[one] if one in subset else 1 / shape[one] for one in fixed]
                axes = tuple(AXES[one] for one in subset)
                key = "inference" if "decode" in rest else (axes, " x ".join(rest))
                found[key] = found.get(key, 0.0) + variance * math.prod(shares)
    array = means[:, :, None, None, None]
    found["random"] = sum(found.values())
    for axes in ((0,), (1,), (0, 1)):
        if all(shape[name] > 1 for name, axis in AXES.items() if axis in axes):
            found[axes] = float((projected(array, axes) ** 2).mean())
    return found


def estimated(values: Floats, decode_only: bool) -> dict[Any, Estimate]:
    """Every effect of one study, and under `random` the sum of the random ones."""
    found = list(parts(values))
    result: dict[Any, Estimate] = {part.axes: effect_variance(part) for part in found if part.axes}
    shape = Shape(values.shape[2], values.shape[3], values.shape[4], decode_only)
    together = every(values, shape.decode_axis)
    several: dict[Any, Weights] = {
        (part.axes, name): weights
        for part in found
        for name, weights in component_weights(part.axes, shape).items()
        if name != "inference"
    }
    if "W" in together.squares:
        several["inference"] = {(EVERY, "W"): 1.0}
    several["random"] = added(list(component_weights(EVERY, shape).values()))
    return result | estimates(several, [*found, together], 0.0)


DESIGNS: list[tuple[str, dict[str, int], dict[str, float], Floats, bool]] = [
    ("texts, 5 runs x 24 prompts x 3", shape_of(training=5, prompts=24, decode=3, regimes=3, settings=4), VARIANCES,
     MEANS, False),
    ("texts, 3 runs x 8 prompts x 2", shape_of(training=3, prompts=8, decode=2, regimes=3, settings=4), VARIANCES,
     MEANS, False),
    ("examples, 8 runs x 30", shape_of(training=8, prompts=30, regimes=3),
     {"training": 1.0, "prompt": 3.0, "regime x training": 0.5, "regime x prompt": 0.5, "training x prompt": 1.0,
      "regime x training x prompt": 4.0}, np.array([[0.0], [1.0], [0.0]]), False),
    ("sets, 5 runs x 8 levels", shape_of(training=5, decode=8, regimes=2, settings=3),
     {"training": 1.0, "decode": 1.0, "training x decode": 2.0, "regime x training": 0.5, "setting x training": 0.5,
      "regime x setting x training": 0.5, "regime x setting x training x decode": 1.0},
     np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 3.0]]), True),
    *(
        (f"runs, {runs}, effect {size}", shape_of(training=runs, regimes=4),
         {"training": 1.0, "regime x training": 1.0}, size * np.array([[0.0], [0.3], [1.0], [0.0]]), False)
        for runs in (3, 5, 8) for size in (0.0, 2.0)
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "variances", "means", "decode_only"), DESIGNS, ids=lambda one: str(one)[:40])
def test_estimates_are_unbiased_and_intervals_cover(
    name: str,
    shape: dict[str, int],
    variances: dict[str, float],
    means: Floats,
    decode_only: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nominal 95 %, 1,000 studies: at the true rate of .95 a coverage below .925 has a chance of 2e-4 per effect.

    Intervals of fixed effects may be wider: where there is no effect the lower bound is 0, which always covers.
    A mean estimate further than 4.5 Monte-Carlo standard errors from the truth has a chance of 7e-6.
    """
    monkeypatch.setattr(random_parts, "DRAWS", 2000)
    dice = np.random.default_rng(20)
    truth = truths(shape, variances, means)
    found: dict[Any, list[Estimate]] = {}
    for _ in range(STUDIES):
        values = drawn(shape, variances, dice)[0] + means[:, :, None, None, None]
        values = values.transpose(0, 1, 2, 4, 3) if decode_only else values
        for effect, one in estimated(values, decode_only).items():
            found.setdefault(effect, []).append(one)
    for effect, several in found.items():
        true = truth.get(effect, 0.0)
        covers = np.mean([one.low <= true <= one.high for one in several])
        numbers = np.array([one.value for one in several])
        error = numbers.std() / math.sqrt(STUDIES)
        print(f"{name} | {effect} | true {true:.4f} mean {numbers.mean():.4f} +- {error:.4f} | covers {covers:.3f}")
        assert abs(numbers.mean() - true) < 4.5 * error, effect
        assert covers >= 0.925, effect
        assert covers <= (1.0 if effect in ((0,), (1,), (0, 1)) else 0.985), effect


def test_intervals_cover_where_settings_vary_by_very_different_amounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As k = 1 and k = all do: spreads of 1 to 10. Nominal degrees of freedom would cover far less.

    1,000 studies; at a true rate of .94 a coverage below .905 has a chance of 1e-5: with so unequal spreads what is
    known of them from six runs is little, and the intervals cover a little less than 95 %.
    """
    monkeypatch.setattr(random_parts, "DRAWS", 2000)
    shape = shape_of(training=6, prompts=24, decode=3, settings=4)
    variances = {"training": 0.5, "setting x training": 1.0, "prompt": 1.0, "setting x prompt": 1.0,
                 "training x prompt x decode": 3.0}  # fmt: skip
    scale = np.array([0.3, 1.0, 1.0, 3.0])[None, :, None, None, None]
    # Of T effects with these loadings on the settings, what is common to them and what is not.
    own, common = scale.ravel() ** 2, scale.ravel()
    truth = {
        ((), "training"): 0.5 * common.mean() ** 2 + own.sum() / 16,
        ((1,), "training"): 0.5 * common.var() + own.mean() - own.sum() / 16,
        "inference": 3.0 * own.mean(),
        "random": 6.5 * own.mean(),
    }
    dice = np.random.default_rng(21)
    hits: dict[Any, list[bool]] = {effect: [] for effect in truth}
    for _ in range(STUDIES):
        found = estimated(drawn(shape, variances, dice)[0] * scale, False)
        for effect, true in truth.items():
            hits[effect].append(found[effect].low <= true <= found[effect].high)
    for effect, covered in hits.items():
        print(f"unequal spreads | {effect} | covers {np.mean(covered):.3f}")
        assert np.mean(covered) >= 0.905, effect


def test_the_largest_contrast_holds_for_all_pairs_together() -> None:
    """Without any effect the interval of the picked contrast leaves out 0 in at most 5 % of 2,000 studies.

    At a true rate of .05 more than .068 has a chance of 2e-4; Bonferroni's is lower.
    """
    shape = shape_of(training=5, prompts=10, regimes=5)
    variances = {"training": 1.0, "prompt": 1.0, "regime x training": 1.0, "regime x prompt": 0.5}
    wrong = []
    for values in drawn(shape, variances, np.random.default_rng(22), studies=2000):
        scores = values[:, 0]
        means = scores.mean(axis=(1, 2, 3))
        found = contrast(scores[means.argmax()] - scores[means.argmin()], 10)
        wrong.append(found.low > 0.0)
    print(f"picked contrast | wrong {np.mean(wrong):.3f}")
    assert np.mean(wrong) <= 0.068


def test_an_interaction_is_the_difference_of_the_settings_contrast() -> None:
    values = drawn(shape_of(training=6, prompts=20, regimes=3, settings=4), {"training": 0.1, "prompt": 0.1},
                   np.random.default_rng(6))[0]  # fmt: skip
    noise = np.random.default_rng(7).normal(0.0, 0.05, size=values.shape)
    row = table_of(values + noise + MEANS[:, :, None, None, None]).loc["regime x top_k"]
    assert row["contrast_what"] == "(k=40 - k=5) of regime-1 - (k=40 - k=5) of regime-2"
    assert row["contrast_low"] < 0.5 < row["contrast_high"]  # .5 * (.5 - -.5) by MEANS


def test_settings_that_differ_in_more_than_k_are_called_so() -> None:
    values = np.random.default_rng(8).normal(size=(2, 2, 3, 20, 2))
    rows = table_of(values, settings=(("5", 0.7, 1.0, 0.0), ("all", 1.0, 0.9, 0.0)))
    assert "setting" in rows.index
    assert "regime x setting x training" in rows.index
    assert rows.at["setting", "range"] == "k 5 to all, T 0.7 to 1, p 0.9 to 1; regimes none, regime-1"


@pytest.mark.parametrize(
    ("values", "fields", "note"),
    [
        (np.zeros((2, 1, 1, 1, 1)), {"unit": "split"}, "one training replicate"),
        (np.zeros((2, 2, 3, 1, 4)), {}, "one prompt"),
        (np.zeros((2, 2, 3, 1, 1)), {"unit": "set"}, "one inference replicate"),
        (np.zeros((2, 2, 3, 5, 2)), {"design": "isolated"}, "isolated design"),
    ],
)
def test_what_cannot_be_told_says_so(values: Floats, fields: dict[str, Any], note: str) -> None:
    rows = table_of(values, **fields)
    assert list(rows.index) == ["total"]
    assert math.isnan(rows.at["total", "variance"])
    assert note in rows.at["total", "note"]


def test_one_level_has_no_effect_to_be_seen() -> None:
    rows = table_of(np.random.default_rng(9).normal(size=(1, 3, 3, 20, 2)))
    assert math.isnan(rows.at["regime", "variance"])
    assert rows.at["regime", "note"] == "one regime: no effect to be seen"
    assert rows.at["regime x top_k", "note"] == "one regime: no effect to be seen"
    assert rows.at["top_k", "variance"] == rows.at["top_k", "variance"]


def test_what_does_not_vary_is_0_without_bounds() -> None:
    values = np.broadcast_to(np.random.default_rng(10).normal(size=(2, 2, 3, 20, 1)), (2, 2, 3, 20, 4))  # greedy
    rows = table_of(values)
    assert rows.at["inference", "variance"] == 0.0
    assert math.isnan(rows.at["inference", "ci_low"])
    same = table_of(np.full((2, 2, 3, 20, 4), 0.1))
    assert (same["variance"] == 0.0).all()
    assert same[["ci_low", "ci_high", "contrast_low", "contrast_high"]].isna().all(axis=None)


def test_no_interval_has_width_0_or_leaves_out_its_order() -> None:
    rng = np.random.default_rng(11)
    for _ in range(50):
        rows = table_of(rng.normal(size=(3, 1, 4, 1, 1)), unit="split").dropna(subset=["ci_low"])
        assert (rows["ci_low"] < rows["ci_high"]).all()


def test_a_unit_without_decode_axis_leaves_the_inference_die_unknown() -> None:
    rows = table_of(np.random.default_rng(12).normal(size=(2, 2, 3, 20, 1)), unit="prompt")
    assert math.isnan(rows.at["inference", "variance"])
    assert "no axis of inference replicates" in rows.at["inference", "note"]


def test_a_metrics_own_error_has_no_rows_and_examples_come_before_their_mean() -> None:
    rng = np.random.default_rng(13)
    blocks = [
        block_of(rng.normal(size=(2, 1, 3, 1, 1)), unit="split", split="test", metric="loss"),
        block_of(rng.normal(size=(2, 1, 3, 1, 1)), unit="split", split="test", metric="f1"),
        block_of(rng.normal(size=(2, 1, 3, 1, 1)), unit="split", split="train", metric="loss"),
        block_of(rng.normal(size=(2, 1, 3, 30, 1)), unit="example", split="test", metric="loss"),
        block_of(rng.normal(size=(2, 2, 3, 30, 1)), unit="prompt", metric="distinctness"),
        block_of(rng.normal(size=(2, 2, 3, 30, 1)), unit="prompt", metric="distinctness-error"),
    ]
    rows = effects(study_of_blocks(blocks))
    assert list(rows[["metric", "unit"]].drop_duplicates().itertuples(index=False, name=None)) == [
        ("loss", "example"), ("f1", "split"), ("distinctness", "prompt"),
    ]  # fmt: skip
    assert not set(rows["split"]) & {"train", "validation"}


def test_mean_error_of_one_axis_is_students() -> None:
    scores = np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    variance, df = mean_error(scores)
    assert (variance, df) == pytest.approx((np.var([1, 2, 4], ddof=1) / 3, 2.0))


def test_effective_degrees_of_freedom_never_exceed_the_nominal_ones() -> None:
    values = np.random.default_rng(14).normal(size=(4, 5, 30, 3))
    nominal = {"T": 4, "P": 29, "TP": 116, "D": 60, "TD": 240}
    for name, square in mean_squares(values, 3).items():
        assert 1.0 <= square.df <= nominal[name] * 3
