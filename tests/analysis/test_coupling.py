"""Coupling does not matter: one law of texts, three ways to share noise between checkpoints, the same two dice.

Texts of a Markov world (markov.py) are sampled by the project's keyed Gumbel noise, by a shared inverse-CDF noise and
by noise of each checkpoint's own. The true dice come from very many texts that share nothing. The table's training and
inference dice must be these whatever the coupling, while its sub-components must not: that is why they are footnotes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markov import COUPLINGS, METRICS, TOP_K, Rows, crossed_rows, independent, language, measured, world_of
from numpy.typing import NDArray
from scipy import stats
from simulator import block_of, study_of_blocks

from harness.analysis.randomness import randomness

STUDIES, RUNS, PROMPTS, LEVELS = 24, 8, 24, 8
DICE = ("training", "inference")
SUB = "decode x prompt"
# Truth: so many checkpoints of their own, each with so many prompts of its own, two independent texts of each.
TRUE_RUNS, TRUE_PROMPTS = 600, 40
# False alarms, were the seeds drawn anew: |z| > 5 over 24 studies has probability 5e-5 for normal estimates and 4e-4
# for chi-square ones of 7 degrees of freedom (simulated): with 12 of these and 28 of those, .6 %. Fewer than 17 of 24
# intervals cover with probability 1e-5 at 95 %, and 2e-3 at 90 %, which is what intervals of the inference die do here,
# where prompts are few and both runs and prompts differ in it: 24 figures, 2 %. Together less than 3 %.
LARGEST_Z, FEWEST = 5.0, 17
Floats = NDArray[np.float64]
Key = tuple[str, str, str]  # metric, top-k, component


@pytest.fixture(scope="module")
def shared() -> Floats:
    return language(np.random.default_rng(1))


@pytest.fixture(scope="module", autouse=True)
def one_torch_thread() -> Any:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def truth(shared: Floats) -> dict[Key, tuple[float, float]]:
    """The true dice with their standard errors, without any variance component model.

    Inference: half the mean squared difference of two texts of one (checkpoint, prompt). Training: the mean product of
    what two halves of a checkpoint's prompts say about it, as no noise and no prompt is in both halves.
    """
    world = world_of(shared, TRUE_RUNS, TRUE_RUNS * TRUE_PROMPTS, np.random.default_rng(2))
    rows = crossed_rows(TRUE_RUNS, TRUE_PROMPTS, 2)
    rows = rows._replace(prompt=rows.prompt + TRUE_PROMPTS * rows.run)
    found = {}
    for metric, values in measured(world, rows, independent(rows, 3)).items():
        for top_k, texts in zip(TOP_K, values.reshape(len(TOP_K), TRUE_RUNS, TRUE_PROMPTS, 2), strict=True):
            halves = np.square(texts[..., 0] - texts[..., 1]).mean(axis=1) / 2
            found[metric, str(top_k), "inference"] = _with_error(halves)
            means = texts.mean(axis=2).reshape(TRUE_RUNS, 2, -1).mean(axis=2)
            centred = means - means.mean(axis=0)
            found[metric, str(top_k), "training"] = _with_error(centred.prod(axis=1) * TRUE_RUNS / (TRUE_RUNS - 1))
    return found


def _with_error(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


@pytest.fixture(scope="module")
def tables(shared: Floats) -> dict[str, pd.DataFrame]:
    """The table `randomness` of every coupling. A study is a regime of one block: its own checkpoints and prompts."""
    rows = crossed_rows(RUNS, PROMPTS, LEVELS)
    return {name: randomness(study_of_blocks(_blocks(shared, rows, name))) for name in COUPLINGS}


def _blocks(shared: Floats, rows: Rows, coupling: str) -> list[Any]:
    studies = []
    for study in range(STUDIES):
        world = world_of(shared, RUNS, PROMPTS, np.random.default_rng([4, study]))
        studies.append(measured(world, rows, COUPLINGS[coupling](rows, 5 + study)))
    settings = tuple((str(k), 1.0, 1.0, 0.0) for k in TOP_K)
    shape = (STUDIES, len(TOP_K), RUNS, PROMPTS, LEVELS)
    return [
        block_of(np.stack([study[metric] for study in studies]).reshape(shape), metric=metric, settings=settings)
        for metric in METRICS
    ]


def of(table: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The rows of one metric, setting and component: one a study."""
    metric, top_k, component = key
    found = table[(table["metric"] == metric) & (table["top_k"] == top_k) & (table["component"] == component)]
    assert len(found) == STUDIES
    return found


KEYS: list[Key] = [(metric, str(k), die) for metric in METRICS for k in TOP_K for die in DICE]


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_both_dice_are_the_true_ones(
    coupling: str, tables: dict[str, pd.DataFrame], truth: dict[Key, tuple[float, float]]
) -> None:
    print()
    for key in KEYS:
        rows, (true, error) = of(tables[coupling], key), truth[key]
        mean, own = _with_error(rows["variance"].to_numpy())
        covered = int(((rows["ci_low"] <= true) & (true <= rows["ci_high"])).sum())
        print(f"{coupling:18} {' '.join(key):24} true {true:.5f} mean {mean:.5f} covered {covered} of {STUDIES}")
        assert abs(mean - true) <= LARGEST_Z * math.hypot(own, error), key
        assert covered >= FEWEST, key


@pytest.mark.parametrize("coupling", ["shared Gumbel", "shared inverse CDF"])
def test_shared_noise_gives_the_dice_of_independent_noise(coupling: str, tables: dict[str, pd.DataFrame]) -> None:
    """The same checkpoints and prompts under two couplings: the difference is noise of the texts alone."""
    for key in KEYS:
        pairs = of(tables[coupling], key)["variance"].to_numpy() - of(tables["independent"], key)["variance"].to_numpy()
        mean, error = _with_error(pairs)
        assert abs(mean) <= LARGEST_Z * error, key


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("top_k", [str(k) for k in TOP_K])
def test_what_shared_noise_has_in_common_moves_with_the_coupling_alone(
    metric: str, top_k: str, tables: dict[str, pd.DataFrame]
) -> None:
    share = {}
    for coupling, table in tables.items():
        whole = of(table, (metric, top_k, "inference"))["variance"].mean()
        rows = of(table, (metric, top_k, SUB))
        assert not rows["head"].any()
        share[coupling] = rows["variance"].mean() / whole
    print(metric, top_k, {name: round(float(value), 3) for name, value in share.items()})
    assert share["shared Gumbel"] > 0.12
    assert share["shared inverse CDF"] > 0.12
    assert abs(share["independent"]) < 0.04


def test_the_rates_of_false_alarms_are_as_stated() -> None:
    dice = np.random.default_rng(0).chisquare(7, (100_000, STUDIES)) - 7
    z = dice.mean(axis=1) / dice.std(axis=1, ddof=1) * math.sqrt(STUDIES)
    rates = 12 * (np.abs(z) > LARGEST_Z).mean(), 28 * 2 * stats.t.sf(LARGEST_Z, STUDIES - 1)
    covering = 12 * stats.binom.cdf(FEWEST - 1, STUDIES, 0.95), 12 * stats.binom.cdf(FEWEST - 1, STUDIES, 0.90)
    assert sum(rates) + sum(covering) < 0.03
