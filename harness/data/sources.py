"""Where rows come from: plain files below a data folder, files of the user's own, and the hub.

Everything is read as text, so that the words `NA` or `null` stay words; nothing is unquoted that was not quoted.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from harness.errors import UserError, nearest

HUB_PARQUET = "refs/convert/parquet"  # where the hub keeps the tables of data sets that were published as scripts


def data_file(task: str, data: Path, relative: str) -> Path:
    """The file of a task below the data folder.

    Raises:
        UserError: the folder or the file does not exist.
    """
    if not data.is_dir():
        raise UserError(f"task {task}: the data folder {data} does not exist")
    path = data / relative
    if not path.is_file():
        raise UserError(f"task {task}: {relative} not found in {data}")
    return path


def user_file(task: str, name: str, data: Path | None) -> Path:
    """A file that the user names: relative to the working directory, else to the data folder.

    Raises:
        UserError: neither place has it.
    """
    places = [Path.cwd()] if data is None else [Path.cwd(), data]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise UserError(f"task {task}: file {name} not found in {' or '.join(map(str, places))}")


def read_text(path: Path) -> str:
    r"""A whole UTF-8 file, without a byte order mark, with line ends as `\n`.

    Raises:
        UserError: the file cannot be read, is not UTF-8, or holds nothing but white space.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not text.strip():
        raise UserError(f"{path}: the file is empty")
    return text.replace("\r\n", "\n")


def read_table(
    path: Path, columns: Mapping[str, str], *, delimiter: str, quoted: bool = False, header: Sequence[str] | None = None
) -> pd.DataFrame:
    r"""Columns of a delimited file as stripped strings; lines end at `\n` only, not at other Unicode separators.

    Args:
        path: the file.
        columns: its column name -> our column name.
        delimiter: between fields.
        quoted: whether `"` quotes a field, as in CSV; GLUE's files are not quoted and full of lone quotes.
        header: the column names of a file that has no header line.

    Raises:
        UserError: as `read_text`; a column is missing, a line has another number of fields, or there are no rows.
    """
    reader = csv.reader(
        (line + "\n" for line in read_text(path).removesuffix("\n").split("\n")),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=quoted,
    )
    rows: list[list[str]] = []
    names = list(header) if header else []
    try:
        for row in reader:
            if not names:
                names = row
            elif row and len(row) != len(names):
                raise UserError(f"{path}: line {reader.line_num} has {len(row)} fields, wanted {len(names)}")
            elif row:
                rows.append(row)
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: {error}") from None
    return _selected(path, pd.DataFrame(rows, columns=pd.Index(names), dtype=object), columns)


def read_jsonl(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """Columns of a file with one JSON object a line, as stripped strings; blank lines are skipped.

    Raises:
        UserError: as `read_text`; a line is not a JSON object, lacks a key, or holds no string or whole number there.
    """
    rows = [
        _json_row(path, number, line, columns)
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip()
    ]
    return _selected(path, pd.DataFrame(rows, dtype=object), columns)


def _json_row(path: Path, number: int, line: str, columns: Mapping[str, str]) -> dict[str, str]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {number} is not JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(row, dict):
        raise UserError(f"{path}: line {number} is not a JSON object")
    for name in columns:
        if name not in row:
            raise UserError(f"{path}: line {number} lacks key '{name}'{nearest(name, list(row))}")
        if not isinstance(row[name], str | int):
            raise UserError(f"{path}: line {number}: key '{name}' holds {row[name]!r}, wanted text or a whole number")
    return {name: str(row[name]) for name in columns}


def _selected(path: Path, frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    for name in columns:
        if (count := list(frame.columns).count(name)) > 1:
            raise UserError(f"{path}: {count} columns are called '{name}'")
        if count == 0:
            raise UserError(f"{path}: no column '{name}'{nearest(name, [str(column) for column in frame.columns])}")
    if frame.empty:
        raise UserError(f"{path}: the file has no rows")
    return stripped(frame[list(columns)].rename(columns=dict(columns)))


def hub(task: str, repository: str, config: str | None = None, revision: str | None = None) -> dict[str, pd.DataFrame]:
    """Every split of a data set of the hub.

    Raises:
        UserError: it cannot be had, whatever the reason (no network, no such set, no room on the disk).
    """
    try:
        import datasets

        loaded = datasets.load_dataset(repository, config, revision=revision)
        return {str(split): loaded[split].to_pandas() for split in loaded}
    except Exception as error:  # noqa: BLE001 - the library lets through errors of half a dozen packages below it
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"task {task}: {repository} cannot be had from the hub ({reason}); give --data DIR") from None


def hub_columns(task: str, frames: Mapping[str, pd.DataFrame], split: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """Columns (theirs -> ours) of a split of the hub, as they are.

    Raises:
        UserError: the published set has no such split or column any more.
    """
    for name in columns:
        if split not in frames or name not in frames[split].columns:
            raise UserError(f"task {task}: the hub's set has no column '{name}' in split '{split}'; give --data DIR")
    return frames[split][list(columns)].rename(columns=dict(columns))


def stripped(frame: pd.DataFrame) -> pd.DataFrame:
    """Every text column without white space at its ends: GLUE's files have some, and so has the hub."""
    texts = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    return frame.assign(**{name: frame[name].str.strip() for name in texts})


def label_ids(frame: pd.DataFrame, ids: Mapping[str, int], where: Path) -> pd.DataFrame:
    """The frame with its label strings as ids.

    Raises:
        UserError: a label that `ids` does not know.
    """
    unknown = frame.loc[~frame["label"].isin(list(ids)), "label"]
    if len(unknown):
        raise UserError(f"{where}: label '{unknown.iloc[0]}' in row {unknown.index[0] + 1}, wanted {', '.join(ids)}")
    return frame.assign(label=frame["label"].map(dict(ids)).astype("int64"))


def glue(
    task: str,
    data: Path | None,
    columns: Mapping[str, str],
    labels: Mapping[str, int],
    *,
    header: Sequence[str] | None = None,
    hub_names: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The published train and dev sets of a GLUE task (Wang et al. 2018, arXiv 1804.07461): text(, text_pair), label.

    Args:
        task: sst2, cola, rte or mrpc; the folder is `glue_<task>`.
        data: the data folder, None for the hub.
        columns: column names in the files -> ours.
        labels: label as the files write it -> id (the ids are the hub's own).
        header: names of all columns where the files have no header line.
        hub_names: column names on the hub -> ours, where they differ from the files'.
    """
    if data is None:
        frames = hub(task, "nyu-mll/glue", task)
        names = hub_names or columns
        published, dev = (stripped(hub_columns(task, frames, split, names)) for split in ("train", "validation"))
        return published, dev
    paths = [data_file(task, data, f"glue_{task}/{part}.tsv") for part in ("train", "dev")]
    train, dev = (label_ids(read_table(p, columns, delimiter="\t", header=header), labels, p) for p in paths)
    return train, dev
