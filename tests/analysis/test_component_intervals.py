"""Nominal 95 % intervals of components, sums and shares cover between 93 and 97 % of simulated studies.

2,000 studies a design; the standard error of a coverage of .95 is .0049, so up to .975 is allowed. The seeds are fixed;
with others, a quantity that covers at .95 leaves .93 to .975 with probability 2e-5, one at .965 with .01.
Shown by `pytest -s`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from simulator import Floats, drawn, shape_of

from harness.analysis import pivots
from harness.analysis.crossed import Layout, squares
from harness.analysis.heads import heads, per_score
from harness.analysis.pivots import estimates

STUDIES = 2000
TEXT = {"training": 0.05, "prompt": 0.1, "training x prompt": 0.05}
TEXT |= {"decode x prompt": 0.4, "training x decode x prompt": 0.6}
EVEN = {"training": 0.3, "prompt": 0.3, "training x prompt": 0.2}
EVEN |= {"decode x prompt": 0.3, "training x decode x prompt": 0.4}
SET = {"training": 0.5, "decode": 0.2, "training x decode": 0.6}
EXAMPLES = {"training": 0.05, "prompt": 1.0, "training x prompt": 0.3}
THREE = {"init": 0.5, "order": 0.3, "mask": 0.1, "init x order": 0.3, "order x mask": 0.2, "init x order x mask": 0.4}
TWO = {"init": 0.5, "order": 0.3, "init x order": 0.4}
LEVELS = ("prompt", "decode")


@pytest.fixture(autouse=True)
def fewer_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pivots, "DRAWS", 1000)
        forget()
        yield
    forget()


def forget() -> None:
    """Without the draws of another number."""
    pivots._chi_squares.cache_clear()
    pivots._orders.cache_clear()


def truth_of(variances: dict[str, float], prompts: int) -> dict[str, dict[str, float]]:
    """The true heads per unit and per score."""
    unit = dict.fromkeys(("training", "prompt", "training x prompt", "inference"), 0.0)
    for name, variance in variances.items():
        factors = name.split(" x ")
        parts = ["training"] if set(factors) - set(LEVELS) else []
        parts += ["prompt"] if "prompt" in factors else []
        unit["inference" if "decode" in factors else " x ".join(parts)] += variance
    score = {name: value if name == "training" else value / prompts for name, value in unit.items()}
    return {"unit": {**unit, "total": sum(unit.values())}, "score": {**score, "total": sum(score.values())}}


def coverage(shape: dict[str, int], variances: dict[str, float], values: Floats) -> dict[str, float]:
    """By unit, head and kind (variance or share) the part of the studies whose interval holds the truth."""
    training = [size for name, size in shape.items() if name not in ("regime", "setting", *LEVELS)]
    layout = Layout(len(training), prompt=shape["prompt"] > 1, decode=shape["decode"] > 1)
    found = squares(values.reshape(len(values), *[size for size in values.shape[1:] if size > 1]), layout)
    rows = heads(layout, found.weights)
    covered = {}
    for unit, quantities in (("unit", rows), ("score", per_score(rows, shape["prompt"]))):
        truth = truth_of(variances, shape["prompt"])[unit]
        several = estimates(found.mean, found.df, np.stack(list(quantities.values())))
        for place, name in enumerate(quantities):
            if name in truth:
                mine, share = truth[name], truth[name] / truth["total"]
                covered[f"{unit} {name}"] = inside(several.low[:, place], mine, several.high[:, place])
                if name != "total" and len(rows) > 2:
                    covered[f"{unit} {name} share"] = inside(
                        several.share_low[:, place], share, several.share_high[:, place]
                    )
    return covered


def inside(low: Floats, truth: float, high: Floats) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


def shown(name: str, covered: dict[str, float]) -> None:
    print(f"\n{name}: " + "; ".join(f"{key} {value:.3f}" for key, value in covered.items()))


DESIGNS = {
    **{
        f"joint {runs} x {prompts} x {decode}, {kind}": (shape_of(training=runs, prompts=prompts, decode=decode), each)
        for runs in (3, 5, 8)
        for prompts, decode, kind, each in ((12, 4, "texts", TEXT), (24, 8, "even", EVEN))
    },
    **{f"set {runs} x {levels}": (shape_of(training=runs, decode=levels), SET) for runs, levels in ((3, 5), (8, 8))},
    **{f"examples {runs} x 100": (shape_of(training=runs, prompts=100), EXAMPLES) for runs in (3, 5, 8)},
    "crossed 3 x 3 x 3": (shape_of(training={"init": 3, "order": 3, "mask": 3}), THREE),
    "crossed 4 x 4 x 4": (shape_of(training={"init": 4, "order": 4, "mask": 4}), THREE),
    "crossed 5 x 5": (shape_of(training={"init": 5, "order": 5}), TWO),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_heads_cover(name: str) -> None:
    shape, variances = DESIGNS[name]
    values = drawn(shape, variances, np.random.default_rng(1), studies=STUDIES)
    covered = coverage(shape, variances, values)
    shown(name, covered)
    assert all(0.93 <= value <= 0.975 for value in covered.values()), covered


@pytest.mark.parametrize("levels", [3, 4])
def test_roles_cover(levels: int) -> None:
    shape = {"init": levels, "order": levels, "mask": levels}
    layout = Layout(3, prompt=False, decode=False)
    found = squares(drawn(shape, THREE, np.random.default_rng(2), studies=STUDIES), layout)
    names = [" x ".join(list(shape)[axis] for axis in sorted(term)) for term in layout.terms()]
    total = [[role in name for name in names] for role in shape]
    sums = np.concatenate([np.eye(len(names)), np.array(total, dtype=float), np.ones((1, len(names)))])
    several = estimates(found.mean, found.df, sums @ found.weights)
    every = sums @ np.array([THREE.get(name, 0.0) for name in names])
    covered = ((several.low <= every) & (every <= several.high)).mean(axis=0)
    share = every / every[-1]
    shares = ((several.share_low <= share) & (share <= several.share_high)).mean(axis=0)[:-1]
    shown(f"roles {levels}^3", dict(zip([*names, *(f"total {role}" for role in shape), "all"], covered, strict=True)))
    shown(f"roles {levels}^3 shares", dict(zip([*names, *(f"total {role}" for role in shape)], shares, strict=True)))
    assert ((covered >= 0.93) & (covered <= 0.975)).all()
    # Three roles with three or four levels: the residual's share covers at .92, total effects' shares at .98 and more.
    assert ((shares[:6] >= 0.925) & (shares[:6] <= 0.975)).all()
    assert shares[6] >= 0.905
    assert (shares[7:] >= 0.975).all()


def test_the_inference_die_covers_where_runs_differ_in_it() -> None:
    # Checkpoints are sharper or flatter as a whole: the coefficient of variation of their variances is .42.
    shape, dice = shape_of(training=5, prompts=24, decode=8), np.random.default_rng(4)
    scale = np.exp(0.2 * dice.standard_normal((STUDIES, 1, 1, 5, 1, 1)) - 0.2**2)
    noise = {name: variance for name, variance in TEXT.items() if "decode" in name}
    values = scale * drawn(shape, noise, dice, studies=STUDIES)
    covered = coverage(shape, noise, values)
    shown("runs differ", covered)
    # With five runs it is a little narrow; with nominal degrees of freedom it covers about half of the studies.
    assert 0.9 <= covered["unit inference"] <= 0.975


def test_the_inference_die_covers_where_texts_have_heavy_tails_and_prompts_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Student's t with 8 degrees of freedom, and prompts whose variance has a coefficient of variation of .53, what
    # real texts show. With nominal degrees of freedom the interval covers about 60 %.
    shape, dice = shape_of(training=3, prompts=40, decode=8), np.random.default_rng(3)
    runs = {name: variance for name, variance in TEXT.items() if "decode" not in name}
    noise = {name: variance for name, variance in TEXT.items() if "decode" in name}
    scale = np.exp(0.25 * dice.standard_normal((STUDIES, 1, 1, 1, 40, 1)) - 0.25**2)
    values = drawn(shape, runs, dice, studies=STUDIES) + scale * drawn(shape, noise, dice, studies=STUDIES, tails=8)
    covered = coverage(shape, TEXT, values)
    shown("heavy tails", covered)
    assert all(0.92 <= value <= 0.985 for value in covered.values()), covered
    monkeypatch.setattr("harness.analysis.crossed.excess", lambda parts, df, rows, within=None: np.ones(len(parts)))
    nominal = coverage(shape, TEXT, values)["unit inference"]
    shown("nominal degrees of freedom", {"unit inference": nominal})
    assert nominal < 0.8
