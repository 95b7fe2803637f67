"""The first n training examples by content hash: how scarce data is made, the same way for every regime."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pandas as pd

from harness.data.splits import TEXTS
from harness.data.task import TaskData


def subset_positions(frame: pd.DataFrame, size: int, seed: int) -> list[int]:
    """Positions of the `size` rows that come first by the hash of their texts and the study seed, in rising order.

    A smaller size is part of every larger one, and neither replicate nor regime is in the hash. Rows with equal texts
    are told apart by how many such rows stand before them.

    Args:
        frame: rows with some of the columns text, text_pair, source, target.
        size: from 1 to the number of rows.
        seed: the study seed.

    Raises:
        ValueError: there are fewer rows: what a plan refuses must not be cut short in silence.
    """
    if not 1 <= size <= len(frame):
        raise ValueError(f"a subset of {size} of {len(frame)} rows")
    seen: dict[tuple[str, ...], int] = {}
    hashes = []
    for texts in zip(*(frame[column] for column in TEXTS if column in frame.columns), strict=True):
        seen[texts] = seen.get(texts, -1) + 1
        hashes.append(_hash(seed, texts, seen[texts]))
    return sorted(sorted(range(len(frame)), key=hashes.__getitem__)[:size])


def with_train_size(data: TaskData, size: int | None, seed: int) -> TaskData:
    """The data with only `size` rows to train on; a language task's stream is cut where it is encoded, not here."""
    if size is None or data.kind == "language":
        return data
    train = data.splits["train"]
    chosen = train.iloc[subset_positions(train, size, seed)].reset_index(drop=True)
    return replace(data, splits={**data.splits, "train": chosen})


def _hash(seed: int, texts: tuple[str, ...], nth: int) -> bytes:
    return hashlib.sha256(json.dumps([seed, *texts, nth]).encode()).digest()
