"""The table `comparisons`: estimators of other work, beside the report's own, which they do not replace.

- Multi-bootstrap (Sellam et al. 2022, ICLR, arXiv 2106.16163): seeds and examples are resampled together, the same for
  both regimes, and the difference is averaged over both; percentile interval.
- IQM (Agarwal et al. 2021, NeurIPS, arXiv 2108.13264): mean of the middle half of the runs, with a percentile interval
  of resampled runs; here of one task, since metrics of several tasks have no common unit.

Both resample a handful of runs as if they were the population. What that costs is known for the mean of paired
differences: nominal 95 % intervals cover .74 with 3 runs, .84 with 5, .89 with 10, .93 with 20 (simulated; the figures
of tests/analysis/test_comparisons.py). Every row says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.blocks import Block
from harness.analysis.contrast_pairs import arm, matched, run_means
from harness.analysis.order import ordered
from harness.analysis.study import Study

Floats = npt.NDArray[np.float64]
COLUMNS = [
    "task",
    "model",
    "split",
    "metric",
    "regime",
    "reference",
    "estimator",
    "estimate",
    "low",
    "high",
    "n",
    "note",
]
MULTI_BOOTSTRAP, IQM = "multi-bootstrap", "IQM"
METRICS = ("accuracy", "loss")
SEEN = ("train", "validation")  # all other splits are test splits
RESAMPLES = 1000
_MOST_DRAWS = 4_000_000  # of examples, so that large splits cost no more: fewer resamples then
_FEWEST_RESAMPLES = 200
# Coverage of a nominal 95 % interval by number of runs, from simulations.
COVERAGE = {3: 0.74, 5: 0.84, 10: 0.89, 20: 0.93}
_ONE_AXIS = "design: it knows one axis of runs"


def comparisons(study: Study) -> pd.DataFrame:
    """One row per estimate: accuracy and loss of the test splits, in the metric's unit.

    Of every regime its IQM (`reference` is empty), and of every regime but the reference the multi-bootstrap of its
    difference to it. `n`: runs, or pairs of runs. Draws follow from the study seed alone. NaN bounds: one run, a design
    that is not joint, or runs that do not vary.
    """
    rows: list[dict[str, Any]] = []
    for block in study.examples:
        if block.metric in METRICS and block.split not in SEEN and study.reference in block.regimes:
            rows += _multi_bootstraps(block, study)
    for block in study.runs:
        if block.metric in METRICS and block.split not in SEEN:
            rows += _iqms(block, study.seed)
    order = ["task", "model", "split", "metric", "estimator", "regime"]
    return ordered(pd.DataFrame(rows, columns=COLUMNS), order, study.regimes)


def _multi_bootstraps(block: Block, study: Study) -> Iterator[dict[str, Any]]:
    base = block.regimes.index(study.reference)
    for place, regime in enumerate(block.regimes):
        pairs = matched(arm(block, place, 0), arm(block, base, 0))
        changes = pairs.mine - pairs.theirs
        changes = changes[:, ~np.isnan(changes).any(axis=0)]
        if place == base or not changes.size:
            continue
        named = {"regime": regime, "reference": study.reference, "estimator": MULTI_BOOTSTRAP}
        drawn = _drawn(block.design, changes, lambda values: multi_bootstrap(values, study.seed))
        yield _row(block, named, float(changes.mean()), drawn, len(changes))


def multi_bootstrap(changes: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Draws of the mean difference, [resamples].

    The score is a mean over seeds and examples, so a resample is a weighted mean: its weights are how often each seed
    and each example was drawn.

    Args:
        changes: per seed and example the difference of two regimes [seeds, examples].
        seed: of the draws.
        resamples: how many, at most; fewer of a large split.
    """
    seeds, examples = changes.shape
    count = max(_FEWEST_RESAMPLES, min(resamples, _MOST_DRAWS // examples))
    dice = np.random.Generator(np.random.PCG64([seed, seeds, examples]))
    runs = dice.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=count) / seeds
    return np.array([_resampled(changes, weights, dice) for weights in runs])


def _resampled(changes: Floats, weights: Floats, dice: np.random.Generator) -> float:
    examples = changes.shape[1]
    chosen = np.bincount(dice.integers(0, examples, examples), minlength=examples) / examples
    return float((np.einsum("s,se->e", weights, changes) * chosen).sum())


def _iqms(block: Block, seed: int) -> Iterator[dict[str, Any]]:
    for place, regime in enumerate(block.regimes):
        values = run_means(arm(block, place, 0))
        if len(values):
            named = {"regime": regime, "reference": "", "estimator": IQM}
            drawn = _drawn(block.design, values, lambda some: iqm_draws(some, seed))
            yield _row(block, named, float(iqm(values)), drawn, len(values))


def iqm(values: Floats) -> Floats:
    """Mean of the middle half along the last axis; a quarter, rounded down, is cut off at both ends."""
    count = values.shape[-1]
    cut = count // 4
    return np.asarray(np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1))


def iqm_draws(values: Floats, seed: int) -> Floats:
    """IQM of resampled runs, [resamples].

    Args:
        values: one per run [runs].
        seed: of the draws.
    """
    dice = np.random.Generator(np.random.PCG64([seed, len(values)]))
    return iqm(values[dice.integers(0, len(values), (RESAMPLES, len(values)))])


def _drawn(design: str, values: Floats, draw: Any) -> Floats | str:
    """Draws, or why there are none."""
    if design != "joint":
        return f"{design} {_ONE_AXIS}"
    if len(values) < 2:
        return "1 run: no interval"
    drawn: Floats = draw(values)
    if np.ptp(drawn) <= 1e-12 * np.abs(values).max():
        return "the runs do not vary: no interval"
    return drawn


def _row(block: Block, named: dict[str, Any], estimate: float, drawn: Floats | str, n: int) -> dict[str, Any]:
    factors = {"task": block.task, "model": block.model, "split": block.split, "metric": block.metric}
    if isinstance(drawn, str):
        bounds, note = (math.nan, math.nan), drawn
    else:
        low, high = np.quantile(drawn, [0.025, 0.975])
        bounds, note = (float(low), float(high)), too_few(n)
    return {**factors, **named, "estimate": estimate, "low": bounds[0], "high": bounds[1], "n": n, "note": note}


def too_few(n: int) -> str:
    """What so few runs cost an interval of resampled runs."""
    known = [runs for runs in COVERAGE if runs >= n]
    if not known:
        return ""
    return f"{n} runs: covers less than 95 % (about {100 * COVERAGE[known[0]]:.0f} % with {known[0]} runs)"
