"""A study: the store's tables and the blocks made of them, built once and read by every table of the roof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.analysis.blocks import Block, example_blocks, runs_by_problem, text_blocks, training_blocks
from harness.analysis.checked import checked_rows, counted


@dataclass(frozen=True)
class Study:
    """What a report is about.

    Attributes:
        tables: the store's tables by name (`training`, `cells`, and what else there is).
        regimes: the grid's regimes, in its order.
        reference: the regime that the others are compared with.
        seed: the study seed; every draw of the analysis follows from it.
        runs: blocks of unit `split`: one value a run, for every training metric.
        examples: blocks of unit `example`: loss and accuracy by row of a split, where all runs have the same rows.
        texts: blocks of units `text`, `prompt` and `set`.
    """

    tables: Mapping[str, pd.DataFrame]
    regimes: tuple[str, ...]
    reference: str
    seed: int
    runs: tuple[Block, ...]
    examples: tuple[Block, ...]
    texts: tuple[Block, ...]


def study_of(tables: Mapping[str, pd.DataFrame], *, reference: str, regimes: Sequence[str], seed: int = 0) -> Study:
    """The study of a grid's tables.

    Raises:
        ValueError: the tables contradict themselves; see `generalization` and `generation`.
    """
    training, cells = tables["training"], tables["cells"]
    metrics, predictions = tables.get("generation_metrics"), tables.get("predictions")
    texts: tuple[Block, ...] = ()
    if metrics is not None and not metrics.empty:
        repeats = frozenset(training.loc[training["repeat"] != 0, "uid"])
        rows = checked_rows(metrics, cells, regimes, repeats)
        counted(rows)
        texts = tuple(text_blocks(rows, runs_by_problem(training, cells, regimes), regimes))
    runs = tuple(training_blocks(training, cells, regimes))
    examples = () if predictions is None else tuple(example_blocks(training, predictions, cells, regimes))
    return Study(tables, tuple(regimes), reference, seed, runs, tuple(_whole(examples, runs)), texts)


def _whole(examples: Sequence[Block], runs: Sequence[Block]) -> Iterator[Block]:
    """The blocks by example that have every run which has a score: of fewer runs they would tell another story."""
    scores = {(one.task, one.model, one.split, one.metric): one for one in runs}
    for block in examples:
        score = scores.get((block.task, block.model, block.split, block.metric))
        if score is None or _same_runs(block, score):
            yield block


def _same_runs(one: Block, other: Block) -> bool:
    known, there = (~np.isnan(block.values).all(axis=(1, 3, 4)) for block in (one, other))
    return (one.regimes, one.replicates) == (other.regimes, other.replicates) and bool((known == there).all())
