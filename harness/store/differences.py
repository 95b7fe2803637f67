"""Where two results differ: numbers by bits and by distance, tables by row, weights by tensor. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import SafetensorError, safe_open

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]

# Columns that say which row is meant, in the order in which a person reads them.
KEYS = ("site", "layer", "head", "split", "example", "step", "metric", "prompt")
LONGEST = 60  # characters of a value in a message


@dataclass(frozen=True)
class Difference:
    """How one part of a cell (a table, its weights, its record) differs from the stored one.

    Attributes:
        first: the first place where a bit differs; empty where none does.
        beyond: the first place where the distance exceeds the tolerance; empty where none does.
        largest: the largest distance; infinite where there is no distance (another token, a missing row).
    """

    first: str = ""
    beyond: str = ""
    largest: float = 0.0


def total(text: str) -> Difference:
    """A difference that no tolerance allows."""
    return Difference(text, text, math.inf)


def distances(stored: Array, again: Array) -> Floats:
    """Relative-or-absolute distance |a - b| / max(1, |a|, |b|) of each element; any shape, two of the same.

    0 for equal values, two NaN and equal infinities; infinite where only one of the two is finite.
    """
    a, b = stored.astype(np.float64), again.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(a - b)
        scaled = gap / np.maximum(1.0, np.maximum(np.abs(a), np.abs(b)))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.where(same, 0.0, np.where(np.isfinite(gap), scaled, np.inf))


@dataclass(frozen=True)
class _Column:
    """One column of two tables, an element a value: of a column of lists, every value of every list."""

    name: str
    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64] | None
    stored: Array
    again: Array
    unequal: Booleans
    distance: Floats

    def text(self, element: int) -> str:
        """Both values of an element; NaN fills up the shorter of two lists."""
        one, two = value_text(self.stored[element]), value_text(self.again[element])
        if self.positions is not None:
            one, two = one.replace("nan", "nothing"), two.replace("nan", "nothing")
        return f"{one} != {two}"


def frame_difference(name: str, stored: pd.DataFrame, again: pd.DataFrame, tolerance: float) -> Difference:
    """How two tables of the same name differ. Floats may be within the tolerance; everything else must be equal.

    Args:
        name: of the table; `history` and `generations` name their places as a person asks for them.
        stored, again: the tables.
        tolerance: largest distance (see `distances`) that is not beyond.
    """
    if set(stored) != set(again):
        odd = sorted({*stored} ^ {*again})[0]
        return total(f"{name}: column {odd} is only in {'the stored table' if odd in stored else 'the new table'}")
    shorter = min(len(stored), len(again))
    names = sorted((str(column) for column in stored), key="token_ids".__ne__)  # of a text, tokens are told first
    columns = [_column(column, stored[column][:shorter], again[column][:shorter]) for column in names]
    first = _first(name, stored, columns, [column.unequal for column in columns])
    beyond = _first(name, stored, columns, [column.distance > tolerance for column in columns])
    largest = max((float(column.distance.max(initial=0.0)) for column in columns), default=0.0)
    if len(stored) != len(again):
        rows = f"{name}: {len(stored)} rows != {len(again)} rows"
        return Difference(first or rows, beyond or rows, math.inf)
    return Difference(first, beyond, largest)


def _first(name: str, frame: pd.DataFrame, columns: list[_Column], marked: list[Booleans]) -> str:
    """The first marked place: the smallest row, and in it the first column."""
    found = [
        (int(column.rows[mark].min()), order) for order, (column, mark) in enumerate(zip(columns, marked, strict=True))
        if mark.any()
    ]  # fmt: skip
    if not found:
        return ""
    order = min(found)[1]
    element = int(np.flatnonzero(marked[order])[0])
    return _place(name, frame, columns[order], element)


def _place(name: str, frame: pd.DataFrame, column: _Column, element: int) -> str:
    row = int(column.rows[element])
    if name == "history" and column.name == "value":
        return f"step {frame['step'].iloc[row]} ({frame['metric'].iloc[row]} {column.text(element)})"
    if name == "generations":
        token = "" if column.positions is None else f" token {column.positions[element]}"
        return f"prompt {row}{token} ({column.name} {column.text(element)})"
    keys = [f"{key} {frame[key].iloc[row]}" for key in KEYS if key in frame and key != column.name]
    where = ", ".join(keys) or f"row {row}"
    return f"{name} ({where}: {column.name} {column.text(element)})"


def _column(name: str, stored: pd.Series[Any], again: pd.Series[Any]) -> _Column:
    a, b = stored.to_numpy(), again.to_numpy()
    rows, positions = np.arange(len(a), dtype=np.int64), None
    if any(isinstance(value, np.ndarray) for value in (*a[:1], *b[:1])):
        rows, positions, a, b, exact = _elements(a, b)
    else:
        exact = not (_is_float(a) or _is_float(b))
    if exact or not (_is_number(a) and _is_number(b)):
        unequal = ~np.asarray((a == b) | (pd.isna(a) & pd.isna(b)), dtype=np.bool_)
        return _Column(name, rows, positions, a, b, unequal, np.where(unequal, np.inf, 0.0))
    return _Column(name, rows, positions, a, b, _bits_differ(a, b), distances(a, b))


def _elements(a: Array, b: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Array, Array, bool]:
    """Row, position and both values of every element of two columns of lists; NaN where one list has ended."""
    exact = not any(_is_float(np.asarray(value)) for value in (*a, *b) if len(value))
    lengths = [max(len(x), len(y)) for x, y in zip(a, b, strict=True)]
    rows = np.repeat(np.arange(len(a), dtype=np.int64), np.asarray(lengths, dtype=np.int64))
    positions = np.concatenate([np.arange(n, dtype=np.int64) for n in lengths])
    left, right = (
        np.concatenate([_padded(value, n) for value, n in zip(column, lengths, strict=True)]) for column in (a, b)
    )
    return rows, positions, left, right, exact


def _padded(values: Array, length: int) -> Floats:
    """Values as float64 (exact for token ids), with NaN behind the end."""
    return np.concatenate([np.asarray(values, dtype=np.float64), np.full(length - len(values), np.nan)])


def _is_float(values: Array) -> bool:
    return bool(values.dtype.kind == "f")


def _is_number(values: Array) -> bool:
    return values.dtype.kind in "fiub"


def _bits_differ(a: Array, b: Array) -> Booleans:
    """Float32 is exact in float64, so the wider bits tell; -0.0 is not 0.0."""
    left, right = (np.ascontiguousarray(values, dtype=np.float64).view(np.uint64) for values in (a, b))
    return np.asarray(left != right, dtype=np.bool_)


def value_text(value: Any) -> str:
    """A value as a person reads it: all digits of a float, whole numbers as such, long texts cut."""
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:.0f}" if abs(number) < 2**53 and number.is_integer() else repr(number)
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


class _TensorFile(Protocol):
    def keys(self) -> list[str]: ...

    def get_tensor(self, name: str) -> Array: ...


def weights_difference(stored: Path, again: Path, tolerance: float) -> Difference:
    """How the tensors of two safetensors files differ, in the order of their names, one at a time in memory."""
    try:
        with safe_open(stored, framework="np") as one, safe_open(again, framework="np") as two:
            return joined(list(_tensors(cast(_TensorFile, one), cast(_TensorFile, two), tolerance)), "tensors")
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a number format that numpy does not have
        return total(f"the weights cannot be compared ({' '.join(str(error).split())})")


def joined(parts: list[Difference], what: str) -> Difference:
    """Several differences as one: the first in words, how many more `what` there are, and the largest distance."""
    first = [part.first for part in parts if part.first]
    beyond = [part.beyond for part in parts if part.beyond]
    largest = max((part.largest for part in parts), default=0.0)
    return Difference(_and_more(first, what), _and_more(beyond, what), largest)


def _and_more(texts: list[str], what: str) -> str:
    if len(texts) <= 1:
        return "".join(texts)
    return f"{texts[0]} and {len(texts) - 1} more {what}"


def _tensors(one: _TensorFile, two: _TensorFile, tolerance: float) -> Iterator[Difference]:
    left, right = set(one.keys()), set(two.keys())
    for name in sorted(left | right):
        if name not in left or name not in right:
            yield total(f"tensor {name} is only in the {'stored' if name in left else 'new'} checkpoint")
            continue
        found = _tensor(name, one.get_tensor(name), two.get_tensor(name), tolerance)
        if found.first:
            yield found


def _tensor(name: str, stored: Array, again: Array, tolerance: float) -> Difference:
    if stored.dtype != again.dtype or stored.shape != again.shape:
        forms = f"{stored.dtype}{list(stored.shape)} != {again.dtype}{list(again.shape)}"
        return total(f"tensor {name} differs ({forms})")
    a, b = stored.reshape(-1), again.reshape(-1)
    places = np.unique(np.flatnonzero(a.view(np.uint8) != b.view(np.uint8)) // a.dtype.itemsize)
    if not len(places):
        return Difference()
    distance = distances(a[places], b[places]) if _is_float(a) else np.full(len(places), np.inf)
    texts = [
        f"tensor {name} differs (element {place}: {value_text(a[place])} != {value_text(b[place])})"
        for place in (*places[:1], *places[distance > tolerance][:1])
    ]
    return Difference(texts[0], "".join(texts[1:]), float(distance.max()))
