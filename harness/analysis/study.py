"""A study: the store's tables and the blocks made of them, built once and read by every table of the roof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        examples: blocks of unit `example`: loss and accuracy by row of a split, of the same rows in all runs.
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
    examples = () if predictions is None else tuple(example_blocks(training, predictions, cells, regimes))
    runs = tuple(training_blocks(training, cells, regimes))
    return Study(tables, tuple(regimes), reference, seed, runs, examples, texts)
