"""Varying one role of the training die leaves the draws of all others untouched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from draws import Draws, equal, make_fit, recording, weights, write_fixed_rows
from toolbox import tiny_grid

from harness.randomness import Streams
from harness.spec.cells import TrainingCell
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker

pytestmark = pytest.mark.usefixtures("one_thread")

ROLES = ("init", "sample", "order", "mask")
TRAINING = {
    "steps": 8,
    "batch_size": 16,
    "micro_batch_size": 8,
    "bucketing": False,
    "sample": 0.5,
    "max_length": 40,
    "learning_rate": 0.01,
    "select": "last",
}


@dataclass
class Training:
    """One training and all that it drew."""

    first: dict[str, torch.Tensor]
    last: dict[str, torch.Tensor]
    examples: np.ndarray[Any, Any]
    draws: list[Draws]

    @property
    def positions(self) -> list[list[int]]:
        """The order role's own draws: where in the drawn sample the examples of each forward stand."""
        return [np.searchsorted(self.examples, one.rows).tolist() for one in self.draws]

    @property
    def seeds(self) -> list[tuple[int, int, int]]:
        """(step, micro-batch, seed) of each forward."""
        return [(one.step, one.micro, one.seed) for one in self.draws]

    @property
    def noise(self) -> list[tuple[tuple[str, ...], str]]:
        """Every mask of each forward, and the generator behind it."""
        return [(one.masks, one.state) for one in self.draws]


def the_cell(home: Path, levels: dict[str, int], regime: dict[str, Any] | None = None) -> TrainingCell:
    write_fixed_rows(home)
    regimes = {"dropped": {"all": 0.3, "identity": 0.1} if regime is None else regime}
    grid = tiny_grid(training=TRAINING, regimes=regimes, replicates={"training": {"count": 1}})
    cell = expand(parse_grid(grid, "grid"), Store(home / "results"), None).training[0]
    return replace(cell, declared={**cell.declared, **levels})


def train(home: Path, levels: dict[str, int]) -> Training:
    cell = the_cell(home, levels)
    fit = make_fit(Worker(Store(home / "results")), cell, lambda *_: None)
    first = weights(fit)
    with recording() as recorder:
        fit.run()
    return Training(first, weights(fit), fit.batches.examples, recorder.draws)


@pytest.mark.parametrize("varied", ROLES)
def test_a_role_that_varies_leaves_the_draws_of_the_others_untouched(home: Path, varied: str) -> None:
    # The others are at levels above 0 of their own: a level that was read for another role would be seen.
    held = {role: 2 + i for i, role in enumerate(ROLES)}
    one, two = train(home, held | {varied: 0}), train(home, held | {varied: 1})
    same = {
        "init": equal(one.first, two.first),
        "sample": one.examples.tolist() == two.examples.tolist(),
        "order": one.positions == two.positions,
        "mask": one.seeds == two.seeds,
    }
    assert same == {role: role != varied for role in ROLES}
    assert (one.noise == two.noise) == (varied != "mask")
    assert not equal(one.last, two.last)


def test_what_these_tests_compare_is_really_there(home: Path) -> None:
    """16 forwards of five kinds of site, each with masks and a key of its own, over half of the examples."""
    drawn = train(home, {})
    assert [(one.step, one.micro) for one in drawn.draws] == [(step, micro) for step in range(8) for micro in range(2)]
    assert len({one.seed for one in drawn.draws}) == 16
    assert len({one.masks for one in drawn.draws}) == 16
    # Embedding, two of attention's and the layer's outputs, two identity branches, the head.
    assert {len(one.masks) for one in drawn.draws} == {6}
    assert {len(one.rows) for one in drawn.draws} == {8}
    assert len(drawn.examples) == 48
    epochs = [[row for one in drawn.draws[start : start + 6] for row in one.rows] for start in (0, 6)]
    assert [sorted(rows) for rows in epochs] == [drawn.examples.tolist()] * 2
    assert epochs[0] != epochs[1]


def test_no_role_shares_a_seed_with_another(home: Path) -> None:
    """32-bit seeds: a chance collision among these 4 x 50 has probability below 5e-6."""
    streams = Streams(5, dict.fromkeys(ROLES, 3))
    addresses: list[tuple[Any, ...]] = [(step, 0) for step in range(50)]
    seeds = {streams.torch_seed(role, *address) for role in ROLES for address in addresses}  # type: ignore[arg-type]
    assert len(seeds) == 4 * 50


@pytest.mark.parametrize("regime", [{}, {"sublayer": 0.0, "attention": {"linear": {"start": 0.0, "end": 0.0}}}])
def test_at_rate_zero_the_mask_level_decides_nothing(home: Path, regime: dict[str, Any]) -> None:
    """Not by the identity, which sets an idle role to level 0, but in the training itself."""
    cell = the_cell(home, {}, regime)
    last = []
    for level in (0, 7):
        streams = Streams(cell.problem.seed, {**cell.levels, "mask": level})
        fit = make_fit(
            Worker(Store(home / "results")), cell, lambda *_: None, streams=streams, work=home / f"work{level}"
        )
        with recording() as recorder:
            fit.run()
        last.append((weights(fit), recorder.draws))
    assert last[0][1][0].seed != last[1][1][0].seed
    assert all(one.masks == () for one in last[0][1])
    assert equal(last[0][0], last[1][0])
