"""What of a block is complete, and what it says of the rest."""

from __future__ import annotations

import numpy as np
from simulator import block_of

from harness.analysis.blocks import Floats
from harness.analysis.complete import UNDEFINED_RUNS, Complete, complete, independent

RNG = np.random.default_rng(1)


def cells_of(values: Floats) -> tuple[tuple[str, ...], ...]:
    """A cell for every run that has values; a run without is one that failed."""
    return tuple(tuple("" if np.isnan(run).all() else "cell" for run in row[0]) for row in values)


def test_a_complete_block_stays_as_it_is() -> None:
    values = RNG.normal(size=(2, 3, 4, 5, 2))
    found = complete(block_of(values))
    assert isinstance(found, Complete)
    assert np.array_equal(found.values, values)
    assert found.note == ""


def test_prompts_that_lack_a_value_go_and_are_counted() -> None:
    values = RNG.normal(size=(2, 3, 4, 5, 2))
    values[1, 2, 0, 3, 1] = np.nan
    found = complete(block_of(values))
    assert isinstance(found, Complete)
    assert np.array_equal(found.values, values[:, :, :, [0, 1, 2, 4]])
    assert found.note == "without 1 of 5 prompts, which lack a value"
    values[0, 0, 0, :2, 0] = np.nan
    assert complete(block_of(values)) == "3 of 5 prompts lack a value: no estimate"


def test_a_missing_run_costs_the_regime_or_the_replicate_whichever_is_less() -> None:
    values = RNG.normal(size=(3, 1, 8, 1, 1))
    values[1, :, 2] = np.nan
    found = complete(block_of(values, unit="split", cells=cells_of(values)))
    assert isinstance(found, Complete)
    assert found.replicates == (0, 1, 3, 4, 5, 6, 7)
    assert found.note == "without 1 of 8 replicates, which a regime lacks"
    values[1, :, 3:] = np.nan
    found = complete(block_of(values, unit="split", cells=cells_of(values)))
    assert isinstance(found, Complete)
    assert found.regimes == ("none", "regime-2")
    assert found.note == "without regime regime-1, which lacks a run"


def test_a_setting_without_values_is_left_out() -> None:
    values = RNG.normal(size=(2, 3, 4, 5, 1))
    values[:, 0] = np.nan  # greedy texts have no distinctness across replicates
    found = complete(block_of(values, unit="prompt"))
    assert isinstance(found, Complete)
    assert found.settings == block_of(values).settings[1:]
    assert found.note == "without 1 of 3 settings"


def test_of_a_crossed_design_the_runs_that_share_no_level_stay() -> None:
    values = RNG.normal(size=(2, 1, 3, 4, 1, 1))
    block = block_of(values, ("init", "order"), unit="split")
    assert independent(block) == [0, 5, 10]
    found = complete(block)
    assert isinstance(found, Complete)
    assert np.array_equal(found.values[:, 0, :, 0, 0], values[:, 0, [0, 1, 2], [0, 1, 2], 0, 0])
    assert found.note == "crossed init 3 x order 4: the 3 runs that share no level of a role"


def test_a_metric_that_a_run_does_not_define_has_no_mean_of_survivors() -> None:
    values = RNG.normal(size=(2, 1, 4, 1, 1))
    values[:, :, 1] = np.nan  # the runs are there (they have cells), but never reached the loss
    assert complete(block_of(values, unit="split")) == UNDEFINED_RUNS
