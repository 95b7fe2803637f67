"""The rows of `generation_metrics` that a report is about, checked: what contradicts itself is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis.arms import GENERATION_ARM
from harness.analysis.order import check_regimes, require
from harness.analysis.settings import GREEDY
from harness.analysis.texts import KEY, METRICS, UNITS, Rows, levels_and_prompts, text_rows


def checked_rows(metrics: pd.DataFrame, cells: pd.DataFrame, regimes: Sequence[str], repeats: frozenset[str]) -> Rows:
    """The rows of training cells that are no repeats, each checkpoint once.

    Args:
        metrics: the store's table `generation_metrics`.
        cells: the store's table `cells`.
        regimes: the grid's regimes.
        repeats: uids of the training cells that are identical-seed repeats.

    Raises:
        ValueError: a column is missing; a regime, unit or checkpoint is unknown; a factor is empty; a value is
            infinite; two checkpoints claim one training replicate.
    """
    require(metrics, "generation_metrics", METRICS)
    if repeats:
        metrics = metrics[~metrics["training_uid"].isin(repeats)]
    rows = text_rows(metrics)
    check_regimes(rows.groups, "generation_metrics", regimes)
    _check_factors(rows.groups, cells)
    return _each_checkpoint_once(rows)


def _check_factors(groups: pd.DataFrame, cells: pd.DataFrame) -> None:
    """An empty factor would drop its rows from every group, and an unknown checkpoint has no cell to answer for it."""
    for column in (*KEY, "training_replicate", "training_uid"):
        if groups[column].isna().any():
            raise ValueError(f"table 'generation_metrics' has rows without {column}")
    unknown = sorted(set(groups["training_uid"].unique()) - set(cells["uid"]))
    if unknown:
        raise ValueError(f"table 'generation_metrics' has checkpoint {unknown[0]}, which table 'cells' does not list")
    strange = sorted(set(groups["unit"].unique()) - set(UNITS))
    if strange:
        raise ValueError(f"table 'generation_metrics' has unit '{strange[0]}'; units are {', '.join(UNITS)}")


def _each_checkpoint_once(rows: Rows) -> Rows:
    """Replicates that are one checkpoint by construction count once; two checkpoints in one replicate are refused."""
    claim = [*GENERATION_ARM, "training_replicate"]
    origin = rows.groups[[*claim, "training_uid"]].drop_duplicates()
    claimed = origin.duplicated(claim, keep=False)
    if claimed.any():
        first = origin[claimed].iloc[0]
        where = f"{first['task']} / {first['model']} / {first['regime']}"
        raise ValueError(f"{where}: training replicate {first['training_replicate']} is claimed by several checkpoints")
    origin = origin.sort_values("training_replicate", kind="stable")
    extra = origin[origin.duplicated([*GENERATION_ARM, "training_uid"])]
    if extra.empty:
        return rows
    drop = pd.MultiIndex.from_frame(rows.groups[claim]).isin(pd.MultiIndex.from_frame(extra[claim]))
    return rows.of_groups(~drop)


def counted(rows: Rows) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Per arm: the number of inference replicates and of prompts of its texts.

    Raises:
        ValueError: greedy texts have replicates.
    """
    counts = {arm: (int(i), int(p)) for arm, i, p in levels_and_prompts(rows).itertuples(name=None)}
    for arm, (inference, _) in counts.items():
        if arm[3] == GREEDY and inference > 1:
            raise ValueError(f"{' / '.join(map(str, arm[:3]))}: k = 1 is greedy, but has {inference} replicates")
    return counts
