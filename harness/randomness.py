"""Keyed random streams: every draw is a pure function of (study seed, role, level, address).

No generator has a history. Before anything random happens, the code asks for the key of exactly that draw and keys
a generator with it; so a resumed run needs no saved state, and varying one role leaves all the others' draws alone.

Keys are hashed, never added: torch's CPU generators use 32 bits of their seed, so `key + step` would collide between
roles, while hashed keys collide only by chance (a study with 1e6 keyed steps has about 116 colliding pairs in 32
bits, spread at random, which no statistic notices).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

Role = Literal["init", "sample", "order", "mask", "corrupt", "pretrain", "decode", "mc"]
Address = str | int

ROLES: tuple[Role, ...] = get_args(Role)
TRAINING_ROLES: tuple[Role, ...] = ("init", "sample", "order", "mask", "corrupt")


def key(seed: int, role: Role, level: int, *address: Address) -> int:
    """The 64-bit key of one draw.

    Args:
        seed: the study seed; 0 is a seed like any other.
        role: which die is rolled.
        level: which roll of it; replicate r of a joint design has every role at level r.
        address: where in the run the draw is, for example the optimiser step and the micro-batch.

    Raises:
        ValueError: an unknown role.
    """
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}; roles are {', '.join(ROLES)}")
    text = json.dumps([int(seed), role, int(level), *address], separators=(",", ":"), ensure_ascii=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Streams:
    """The random streams of one cell: a study seed and the level of each role (0 where none is named)."""

    seed: int
    levels: Mapping[str, int] = field(default_factory=dict)

    def key(self, role: Role, *address: Address) -> int:
        """The 64-bit key of one draw of `role` at its level in this cell."""
        return key(self.seed, role, self.levels.get(role, 0), *address)

    def torch_seed(self, role: Role, *address: Address) -> int:
        """The key cut to the 32 bits that torch's CPU generator really uses."""
        return self.key(role, *address) & 0xFFFFFFFF

    def generator(self, role: Role, *address: Address) -> np.random.Generator:
        """A fresh numpy generator (Philox) for one draw."""
        return np.random.Generator(np.random.Philox(key=self.key(role, *address)))

    def pretraining(self, level: int) -> Streams:
        """The streams of a scratch base model: a study of its own, so that no base shares draws with a cell."""
        return Streams(seed=key(self.seed, "pretrain", level), levels={})
