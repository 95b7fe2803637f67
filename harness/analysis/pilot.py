"""What `plan` says about a design: what it can resolve, and from a pilot's tables how many seeds a wish needs.

A pilot is what is stored of the grid: results/<grid>/tables as the last `run` or `report` wrote them. Costs are
measured seconds, which are another on every machine, so they stand here and in no report table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.allocation import MOST_RUNS, Components, Costs, Size, best, cheapest, components_of
from harness.analysis.blocks import Block
from harness.analysis.complete import complete
from harness.analysis.effects import chosen
from harness.analysis.mean_squares import Floats, mean_squares
from harness.analysis.multiplicity import smallest_sign_flip_p
from harness.analysis.power import LEVEL, resolvable
from harness.analysis.seeds import differences, smallest_count, unreachable
from harness.analysis.study import study_of
from harness.spec.designs import fewest_levels
from harness.spec.grid import Grid

# What a pilot is asked about; the report's table `seeds` has every metric.
OF_SPLITS = ("accuracy", "loss")
OF_TEXTS = ("distinct-2", "nll")
MOST_PROMPTS = 10_000


def design_lines(grid: Grid) -> Iterator[str]:
    """What the number of training replicates and of regimes alone decides."""
    replicates = grid.replicates.training
    family, pairs = len(grid.regimes) - 1, fewest_levels(replicates)
    if family < 1 or replicates.design == "isolated":
        return
    if pairs < 2:
        yield "note: one training replicate: no difference between regimes has an interval"
        return
    if family * smallest_sign_flip_p(pairs) > LEVEL:
        yield f"note: {unreachable(pairs, family)}"
    found = resolvable(1.0 / math.sqrt(pairs), pairs - 1.0, family)
    yield (
        f"{pairs} training replicates find a difference of {found:.2g} standard deviations of the paired differences"
        f" (80 % power, two-sided 5 %, Holm over {family})"
    )


def pilot_lines(grid: Grid, results: Path) -> Iterator[str]:
    """What the stored tables of a grid say about the size of its design; nothing where there are none."""
    tables = pilot_tables(results / grid.name / "tables")
    if not tables:
        return
    try:
        study = study_of(tables, reference=grid.reference_regime, regimes=list(grid.regimes))
    except ValueError as error:
        yield f"note: the stored tables of this grid are not of what it is now ({error}); `twodice report` renews them"
        return
    for block in chosen(study):
        yield from _lines(block, grid, tables)


def pilot_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The stored tables that a plan reads, of few metrics, so that it stays quick; empty where there are none."""
    filters = {"training": OF_SPLITS, "generation_metrics": OF_TEXTS, "cells": (), "predictions": ()}
    if not all((folder / f"{name}.parquet").is_file() for name in ("training", "cells")):
        return {}
    return {
        name: pd.read_parquet(path, filters=[("metric", "in", list(metrics))] if metrics else None)
        for name, metrics in filters.items()
        if (path := folder / f"{name}.parquet").is_file()
    }


def _lines(block: Block, grid: Grid, tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """The comparison of a block that is hardest to resolve."""
    found = _hardest(block, grid.reference_regime)
    if found is None:
        return
    now, parts, family = found
    variance, df = parts.error(now)
    resolved = resolvable(math.sqrt(variance), df, family)
    wanted = grid.resolve.get(block.metric, resolved / 2.0)
    what = " ".join(filter(None, (block.split, block.metric)))
    yield (
        f"pilot: {block.task} x {block.model}, {what}: {_described(now, block.unit)} find a difference of"
        f" {resolved:.2g} in the regime where it is hardest (80 % power, Holm over {family})"
    )
    costs = _costs(block, tables)
    if costs is not None:
        yield f"pilot:   {_advice(parts, costs, now, family, wanted, block.unit)}"


def _hardest(block: Block, reference: str) -> tuple[Size, Components, int] | None:
    """Size, components and family of the regime whose difference to the reference has the largest error."""
    table = complete(block)
    if isinstance(table, str) or reference not in table.regimes:
        return None
    worst, found = 0.0, None
    for name in table.regimes:
        scores = differences(table, name, reference)
        size = Size(*scores.shape)
        if name == reference or size.runs < 2:
            continue
        parts = components_of(mean_squares(scores[None]), size)
        variance, _ = parts.error(size)
        if variance > max(worst, (1e-12 * float(np.abs(scores).max())) ** 2):
            worst, found = variance, (size, parts, len(block.regimes) - 1)
    return found


def _costs(block: Block, tables: Mapping[str, pd.DataFrame]) -> Costs | None:
    """Median seconds of a training run, and of a text times the settings that are averaged; None where unknown."""
    cells = tables["cells"]
    done = cells[(cells["status"] == "done") & (cells["task"] == block.task) & (cells["model"] == block.model)]
    training = done.loc[done["kind"] == "training", "seconds"]
    if training.empty:
        return None
    if block.unit != "text":
        return Costs(float(training.median()), 0.0)
    texts = done.loc[done["kind"] == "generation", "seconds"]
    seconds = float(texts.median()) / block.values.shape[3] if len(texts) else 0.0
    return Costs(float(training.median()), seconds * len(block.settings))


def _advice(parts: Components, costs: Costs, now: Size, family: int, wanted: float, unit: str) -> str:
    """The cheapest design for a wanted difference, and the best one for what the present one costs."""
    if unit != "text" or costs.text <= 0.0:
        runs = smallest_count(parts, lambda count: replace(now, runs=count), family, wanted)
        if runs is None:
            return f"{wanted:.2g} is out of reach of training replicates alone"
        return f"for {wanted:.2g}: {runs} training replicates, {runs * costs.training:.0f} s an arm"
    factors = _factors(family)
    found = cheapest(parts, costs, (wanted / factors) ** 2, MOST_PROMPTS)
    lines = [f"{wanted:.2g} is out of reach"]
    if found is not None:
        lines = [f"cheapest for {wanted:.2g}: {_described(found, unit)} (if there are), {costs.of(found):.0f} s an arm"]
    same = best(parts, costs, costs.of(now), MOST_PROMPTS, factors**2)
    if same is not None:
        variance, df = parts.error(same)
        reached = resolvable(math.sqrt(variance), df, family)
        lines.append(f"for the {costs.of(now):.0f} s that it costs now: {_described(same, unit)} find {reached:.2g}")
    return "; ".join(lines)


def _factors(family: int) -> Floats:
    """Resolvable difference over standard error for each number of runs, with the fewest df that it can have."""
    return np.array([resolvable(1.0, runs - 1.0, family) for runs in range(2, MOST_RUNS + 1)])


def _described(size: Size, unit: str) -> str:
    counts = {"training replicate": size.runs}
    if unit == "text":
        counts |= {"inference replicate": size.levels, "prompt": size.prompts}
    return " x ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items())
