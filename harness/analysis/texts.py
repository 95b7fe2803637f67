"""From rows of texts to one value per arm, metric, unit and training replicate.

A store has millions of these rows. Every factor is therefore looked at once per group of rows, and what is done per
row is done on arrays. Means are sums of `math.fsum`, which rounds once; the sums of squares run over sorted rows: the
result does not depend on the order of the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.arms import GENERATION_ARM
from harness.analysis.settings import HUMAN

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
METRICS = ["training_uid", "training_replicate", "inference_replicate", *GENERATION_ARM]
METRICS += ["unit", "prompt", "metric", "value"]
KEY = [*GENERATION_ARM, "metric", "unit"]
GROUP = [*KEY, "training_replicate", "training_uid"]
UNITS = ("text", "prompt", "set")


@dataclass(frozen=True)
class Rows:
    """Rows of the store's table `generation_metrics`.

    Attributes:
        groups: a row per group of rows with equal GROUP columns.
        group: of every row its group, int [rows].
        prompt: of every row a number for its prompt, int [rows]; -1 where it belongs to a set.
        level: of every row its inference replicate, int [rows]; -1 where it belongs to all of them.
        value: float64 [rows]; NaN where the metric is not defined.
    """

    groups: pd.DataFrame
    group: Ints
    prompt: Ints
    level: Ints
    value: Floats

    def rows(self, chosen: NDArray[Any]) -> Rows:
        """Some of the rows, by number or by mask; groups keep their numbers."""
        parts = {name: getattr(self, name)[chosen] for name in ("group", "prompt", "level", "value")}
        return replace(self, **parts)

    def of_groups(self, chosen: NDArray[np.bool_]) -> Rows:
        """The rows of some groups."""
        number = np.cumsum(chosen) - 1
        kept = self.rows(chosen[self.group])
        return replace(kept, groups=self.groups[chosen].reset_index(drop=True), group=number[kept.group])


def text_rows(metrics: pd.DataFrame) -> Rows:
    """The rows as arrays.

    Raises:
        ValueError: a value is infinite.
    """
    value = metrics["value"].to_numpy(dtype=float)
    infinite = np.flatnonzero(np.isinf(value))
    if infinite.size:
        first = metrics.iloc[int(infinite[0])]
        raise ValueError(f"{first['metric']} of prompt '{first['prompt']}', cell {first['training_uid']} is infinite")
    group = metrics.groupby(GROUP, sort=False, dropna=False).ngroup().to_numpy(dtype=np.int64)
    _, first_rows = np.unique(group, return_index=True)
    codes, prompts = pd.factorize(metrics["prompt"], sort=True)  # so that numbers do not depend on the rows' order
    prompt = np.where(np.append(np.asarray(prompts) == "", False)[codes], -1, codes)
    level = metrics["inference_replicate"].astype("Int64").fillna(-1).to_numpy(dtype=np.int64)
    groups = metrics[GROUP].iloc[first_rows].reset_index(drop=True)
    return Rows(groups, group, prompt.astype(np.int64), level, value)


def levels_and_prompts(rows: Rows) -> pd.DataFrame:
    """The numbers of inference replicates and of prompts (`inference`, `prompts`), indexed by arm."""
    arm = rows.groups.groupby(GENERATION_ARM, sort=False).ngroup().to_numpy(dtype=np.int64)
    counted = rows.groups.assign(arm=arm).drop_duplicates("arm").set_index(GENERATION_ARM)
    counted["inference"] = _distinct(arm[rows.group], rows.level, len(counted))
    counted["prompts"] = _distinct(arm[rows.group], rows.prompt, len(counted))
    return counted[["inference", "prompts"]]


def _distinct(arm: Ints, code: Ints, arms: int) -> Ints:
    """How many codes from 0 each arm has."""
    width = int(code.max(initial=0)) + 1
    pairs = np.unique((arm * width + code)[code >= 0])
    return np.bincount(pairs // width, minlength=arms)


def whole_sets(rows: Rows) -> Rows:
    """Without the sets of human texts that lack prompts which other sets of the same checkpoint have.

    A prompt with two references has no third one, so that the third set is smaller; what a set metric says of a small
    set cannot be compared with what it says of a large one.
    """
    human = np.flatnonzero((rows.groups["top_k"] == HUMAN).to_numpy()[rows.group])
    here = rows.groups[["task", "model", "regime", "training_replicate", "unit"]].iloc[rows.group[human]]
    here = here.assign(row=human, level=rows.level[human], prompt=rows.prompt[human])
    by = ["task", "model", "regime", "training_replicate"]
    sizes = here[here["unit"] == "text"].groupby([*by, "level"], sort=False)["prompt"].nunique()
    small = sizes.index[sizes < sizes.groupby(by, sort=False).transform("max")]
    lost = here[(here["unit"] == "set").to_numpy() & pd.MultiIndex.from_frame(here[[*by, "level"]]).isin(small)]
    keep = np.ones(len(rows.group), dtype=bool)
    keep[lost["row"]] = False
    return rows.rows(keep)


def per_replicate(rows: Rows, cells: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per group: GROUP, `size` (values), `count` (defined ones), `mean`, `variance_sum`, `variances`.

    `mean` is over prompts of the mean over inference replicates (of human texts: references), so that a prompt weighs
    the same however many values it has.

    `variances` is the number of prompts (1 for sets) with at least two defined values over inference replicates, and
    `variance_sum` the sum of their unbiased variances.

    Args:
        cells: what `prompt_cells` gives of these rows, where the caller has it.
    """
    groups = len(rows.groups)
    size = np.bincount(rows.group, minlength=groups)
    cells = prompt_cells(rows) if cells is None else cells
    count = np.bincount(cells["group"], cells["count"], minlength=groups).astype(np.int64)
    several = cells[cells["count"] > 1]
    found = rows.groups.assign(size=size, count=count)
    found["mean"] = means(
        cells["mean"].to_numpy(), cells["group"].to_numpy(), np.bincount(cells["group"], minlength=groups)
    )
    found["variance_sum"] = _sums(several["variance"].to_numpy(), several["group"].to_numpy(), groups)
    found["variances"] = np.bincount(several["group"], minlength=groups)
    return found.sort_values("training_replicate", kind="stable")


def _defined_in_order(rows: Rows) -> Rows:
    """Without the undefined values, sorted by group and prompt, and within them by what the rows hold."""
    defined = rows.rows(~np.isnan(rows.value))
    return defined.rows(np.lexsort((defined.value, defined.level, defined.prompt, defined.group)))


def prompt_cells(rows: Rows) -> pd.DataFrame:
    """Group, prompt, count, mean and unbiased variance of the defined values of every (group, prompt), in order."""
    rows = _defined_in_order(rows)
    new = np.diff(rows.group, prepend=-1).astype(bool) | np.diff(rows.prompt, prepend=-2).astype(bool)
    cell, starts = np.cumsum(new) - 1, np.flatnonzero(new)
    count = np.bincount(cell, minlength=len(starts))
    # From the first value on: equal values have variance 0 exactly.
    first = rows.value[starts]
    moved = rows.value - first[cell]
    shift = np.bincount(cell, moved, minlength=len(starts)) / count
    squares = np.bincount(cell, (moved - shift[cell]) ** 2, minlength=len(starts))
    variance = squares / np.maximum(count - 1, 1)
    where = {"group": rows.group[starts], "prompt": rows.prompt[starts]}
    return pd.DataFrame({**where, "count": count, "mean": first + shift, "variance": variance})


def means(values: Floats, group: Ints, count: Ints) -> Floats:
    """Of values sorted by group; NaN for a group without one."""
    sums = _sums(values, group, len(count))
    return np.where(count > 0, sums / np.maximum(count, 1), math.nan)


def _sums(values: Floats, group: Ints, groups: int) -> Floats:
    """Sums of values sorted by group, each rounded once."""
    bounds, listed = np.searchsorted(group, np.arange(groups + 1)).tolist(), values.tolist()
    return np.array([math.fsum(listed[a:b]) for a, b in pairwise(bounds)], dtype=float)
