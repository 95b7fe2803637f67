"""Long tables out of many small ones, column by column: a grid's texts have millions of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

REPLICATES = ("training_replicate", "repeat", "inference_replicate")


class Stack:
    """Tables of one form, each with its factors, on their way to one table."""

    def __init__(self) -> None:
        self._frames: list[pd.DataFrame] = []
        self._factors: list[Mapping[str, Any]] = []

    def add(self, frame: pd.DataFrame, factors: Mapping[str, Any]) -> None:
        """Takes a table and the values of the columns that stand in front of each of its rows."""
        if len(frame):
            self._frames.append(frame)
            self._factors.append(factors)

    def joined(self, columns: Sequence[str]) -> pd.DataFrame:
        """All rows in the order of adding; `columns` first, then what else the tables had. Empty where none was added.

        A column that some tables lack is empty in their rows. Columns of REPLICATES are whole numbers that may be NA.
        """
        if not self._frames:
            return pd.DataFrame({column: pd.Series(dtype=object) for column in columns})
        rows = pd.concat(self._frames, ignore_index=True)
        lengths = [len(frame) for frame in self._frames]
        names = self._factors[0].keys()
        factors = {name: _repeated(name, [one[name] for one in self._factors], lengths) for name in names}
        found = pd.concat([pd.DataFrame(factors, index=rows.index), rows], axis=1)
        self._frames, self._factors = [], []
        return found[[*columns, *(column for column in found if column not in columns)]]


def _repeated(name: str, values: Sequence[Any], lengths: Sequence[int]) -> Any:
    dtype = "Int64" if name in REPLICATES else None
    return pd.Series(values, dtype=dtype).array.repeat(np.asarray(lengths))
