from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.randomness import ROLES, Streams, key


def test_a_key_is_the_same_in_another_process() -> None:
    program = "from harness.randomness import key; print([key(7, 'mask', 2, 5, i) for i in range(9)])"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == [key(7, "mask", 2, 5, i) for i in range(9)]


def test_every_part_of_the_address_matters() -> None:
    keys = {
        key(seed, role, level, step, micro)
        for seed in (0, 1)
        for role in ROLES
        for level in range(3)
        for step in range(4)
        for micro in range(3)
    }
    assert len(keys) == 2 * len(ROLES) * 3 * 4 * 3


def test_addresses_do_not_run_together() -> None:
    assert key(0, "order", 1, 23) != key(0, "order", 12, 3)
    assert key(0, "order", 0, "1", 2) != key(0, "order", 0, 1, 2)


def test_32_bit_seeds_collide_only_by_chance() -> None:
    # 100,000 keyed steps in 32 bits: 1.16 colliding pairs are expected; 8 or more have a probability below 2e-4.
    streams = Streams(0, {"mask": 0})
    seeds = [streams.torch_seed("mask", step, 0) for step in range(100_000)]
    assert len(seeds) - len(set(seeds)) < 8


def test_seed_zero_is_a_seed_and_levels_default_to_zero() -> None:
    assert Streams(0).key("init") == key(0, "init", 0)
    assert Streams(0).key("init") != Streams(1).key("init")
    assert Streams(3, {"init": 4}).key("init") != Streams(3).key("init")


def test_varying_one_role_leaves_the_others_alone() -> None:
    one, other = Streams(1, {"mask": 0, "order": 2}), Streams(1, {"mask": 9, "order": 2})
    assert one.key("order", 3) == other.key("order", 3)
    assert one.key("mask", 3, 0) != other.key("mask", 3, 0)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown role"):
        key(0, "masks", 0)  # type: ignore[arg-type]


def test_generators_have_no_history() -> None:
    streams = Streams(2)
    first = streams.generator("order", 1).random(4)
    streams.generator("order", 2).random(100)
    np.testing.assert_array_equal(first, streams.generator("order", 1).random(4))


def test_pretraining_shares_no_draw_with_a_cell() -> None:
    assert Streams(5).pretraining(0).key("init", "w") != Streams(5).key("init", "w")
    assert Streams(5).pretraining(0).key("init") != Streams(5).pretraining(1).key("init")
