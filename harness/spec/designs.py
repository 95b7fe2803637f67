"""Replicate designs: which levels of the training roles the runs of an arm take together.

joint: replicate r has every role at level r: one training die, its roles not told apart.
isolated: each listed role takes its levels while all others stay at level 0; the run with all at 0 stands once.
crossed: every combination of the listed roles' levels; roles that are not listed stay at level 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from harness.errors import UserError
from harness.randomness import TRAINING_ROLES
from harness.spec.grid import VARIED_ROLES, Training, TrainingReplicates

Levels = dict[str, int]

# `corrupt` is not a role of its own here: what a collator draws is training-time noise and goes with `mask`.
FOLLOWS = {"corrupt": "mask"}


def replicate_levels(replicates: TrainingReplicates, training: Training, where: str) -> tuple[Levels, ...]:
    """The levels of every training role, one mapping per replicate, in an order that the grid file cannot change.

    Raises:
        UserError: the role `sample` is listed where every example is used, so that it decides nothing.
    """
    if replicates.design == "joint":
        return tuple(dict.fromkeys(TRAINING_ROLES, level) for level in range(replicates.count))
    counts = _counts(replicates, training, where)
    crossed = replicates.design == "crossed"
    return tuple(_complete(chosen) for chosen in (_crossed(counts) if crossed else _isolated(counts)))


def fewest_levels(replicates: TrainingReplicates) -> int:
    """Levels of the role that has the fewest: what bounds the degrees of freedom of an interval."""
    roles = replicates.roles
    return min(roles.values()) if isinstance(roles, Mapping) else replicates.count


def _counts(replicates: TrainingReplicates, training: Training, where: str) -> Levels:
    """The number of levels of each listed role, in the order of the roles."""
    roles = replicates.roles
    if roles is None:
        roles = [role for role in VARIED_ROLES if role != "sample" or training.sample != "all"]
    if "sample" in roles and training.sample == "all":
        raise UserError(
            f"{where}: replicates.training.roles: 'sample' decides nothing while training.sample is 'all'"
            " (leave the role out, or set training.sample to 'bootstrap' or a fraction)"
        )
    counts = dict(roles) if isinstance(roles, Mapping) else dict.fromkeys(roles, replicates.count)
    return {role: counts[role] for role in TRAINING_ROLES if role in counts}


def _isolated(counts: Levels) -> list[Levels]:
    return [{}, *({role: level} for role, count in counts.items() for level in range(1, count))]


def _crossed(counts: Levels) -> list[Levels]:
    return [dict(zip(counts, levels, strict=True)) for levels in itertools.product(*map(range, counts.values()))]


def _complete(chosen: Levels) -> Levels:
    """Levels of all roles: 0 where none was chosen."""
    return {role: chosen.get(FOLLOWS.get(role, role), 0) for role in TRAINING_ROLES}
