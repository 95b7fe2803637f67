"""Tasks made of a user's own files: what `csv`, `jsonl` and `text` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from pydantic import Field

from harness.data.sources import label_ids, user_file
from harness.data.splits import carve, training_subset, without
from harness.data.task import Kind, TaskData, TaskOptions
from harness.errors import UserError

Reader = Callable[[Path, Mapping[str, str]], pd.DataFrame]


class FileOptions(TaskOptions):
    """Files, relative to the working directory or else to the data folder."""

    train: str = Field(description="file of the training rows")
    validation: str | None = Field(default=None, description="file; without it, carved from train")
    test: str | None = Field(default=None, description="file; without it, carved from train")
    carve_share: float = Field(default=0.1, gt=0, le=0.4, description="share of train that a missing split gets")


class TableOptions(FileOptions):
    """Files with named columns: classification where `label` is given, else a language task."""

    text: str = Field(default="text", description="column of the text")
    text_pair: str | None = Field(default=None, description="column of the second text of a pair")
    label: str | None = Field(default=None, description="column of the class; any distinct values")


def table_data(task: str, options: TableOptions, data: Path | None, read: Reader) -> TaskData:
    """The splits of a classification or language task in tables.

    Raises:
        UserError: a file is missing or malformed, a column is missing, or there are fewer than two classes.
    """
    if options.text_pair and not options.label:
        raise UserError(f"tasks.{task}: text_pair needs label (a language task has one text)")
    names = {options.text: "text", options.text_pair: "text_pair", options.label: "label"}
    columns = {theirs: ours for theirs, ours in names.items() if theirs is not None}
    if len(columns) < sum(name is not None for name in (options.text, options.text_pair, options.label)):
        raise UserError(f"tasks.{task}: text, text_pair and label must name different columns")
    paths = _paths(task, options, data)
    frames = {split: read(path, columns) for split, path in paths.items()}
    labels = _labels(task, frames, paths) if options.label else ()
    if labels:
        ids = {label: number for number, label in enumerate(labels)}
        frames = {split: label_ids(frame, ids, paths[split]) for split, frame in frames.items()}
    texts = ("text", "text_pair") if options.text_pair else ("text",)
    splits, note = complete(frames, options, texts)
    metrics = ("accuracy",) if labels else ()
    kind: Kind = "classification" if labels else "language"
    return TaskData(kind=kind, splits=splits, labels=labels, metrics=metrics, note=note)


def text_data(task: str, options: FileOptions, data: Path | None, read: Callable[[Path], str]) -> TaskData:
    """The splits of a language task in plain files: a row is a paragraph (between blank lines)."""
    frames = {}
    for split, path in _paths(task, options, data).items():
        paragraphs = [part.strip("\n") for part in read(path).split("\n\n")]
        frames[split] = pd.DataFrame({"text": [part for part in paragraphs if part.strip()]})
    splits, note = complete(frames, options, ("text",))
    return TaskData(kind="language", splits=splits, separator="\n\n", note=note)


def complete(
    frames: Mapping[str, pd.DataFrame], options: FileOptions, columns: tuple[str, ...]
) -> tuple[dict[str, pd.DataFrame], str]:
    """All three splits, the missing ones carved from train (duplicates on one side), and a note on how."""
    splits, notes = dict(frames), []
    size = max(1, int(len(splits["train"]) * options.carve_share))
    for split in ("test", "validation"):
        if split in splits:
            shared = without(splits["train"], splits[split])[1]
            notes.append(f"{split} as given ({shared} rows of train also occur in it)")
        else:
            splits["train"], splits[split] = carve(splits["train"], size, columns)
            notes.append(f"{split} carved from train by content hash ({len(splits[split])} rows)")
    splits["train"] = training_subset(splits["train"], options.train_size)
    return splits, "; ".join(notes)


def _paths(task: str, options: FileOptions, data: Path | None) -> dict[str, Path]:
    named = {"train": options.train, "validation": options.validation, "test": options.test}
    return {split: user_file(task, name, data) for split, name in named.items() if name is not None}


def _labels(task: str, frames: Mapping[str, pd.DataFrame], paths: Mapping[str, Path]) -> tuple[str, ...]:
    for split, frame in frames.items():
        if empty := (frame["label"] == "").sum():
            raise UserError(f"{paths[split]}: {empty} rows have an empty label")
    labels = sorted({str(label) for frame in frames.values() for label in frame["label"]})
    if len(labels) < 2:
        raise UserError(f"tasks.{task}: all rows have the label '{labels[0]}'; at least two classes are needed")
    return tuple(labels)
