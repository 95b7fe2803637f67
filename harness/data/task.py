"""What a task is: one small file that names its splits, its kind and its metrics, with a registration next to it.

A task file stands in a `tasks/` folder and is found by its name (`toy-sentiment` in `toy_sentiment.py`). A user's own
`tasks/` folder in the working directory is searched first, then the ones that ship with twodice.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError, nearest
from harness.files import import_file

Kind = Literal["classification", "language", "conditional"]

# The columns that a split of each kind must have; a task may add others (for example `clean_label`, `group`).
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "language": ("text",),
    "conditional": ("source", "target"),
}


class TaskOptions(BaseModel):
    """Options that every task understands; a task may subclass it with its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_size: int | None = Field(default=None, ge=2, description="use this many training rows (nested subsets)")


@dataclass(frozen=True)
class TaskData:
    """The rows of every split of a task.

    Attributes:
        kind: `classification` (columns text, optional text_pair, label as int from 0), `language` (text, a row a
            document), `conditional` (source, target; several rows with one source are its references). A classification
            task whose training labels are wrong on purpose has the true ones in a column clean_label.
        splits: must hold train, validation and test; any other name is a shifted test split.
        labels: names of the classes, in the order of their ids (classification).
        metrics: names of the task's metrics beside the loss, best first.
        separator: put between the documents of a language task when they are joined to one stream.
        prompts_at: where prompts of a language task begin in the test split: `anywhere` in the stream, or at the first
            token of one of its `documents`.
        note: what a reader must know about these splits; printed in the report.
    """

    kind: Kind
    splits: dict[str, pd.DataFrame]
    labels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    separator: str = "\n"
    prompts_at: Literal["anywhere", "documents"] = "anywhere"
    note: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def validate(self, name: str) -> None:
        """Refuses data that cannot give an honest number.

        Raises:
            UserError: a split is missing, empty, or lacks a column; a label is outside the declared ones; prompts_at is
                none of its values.
        """
        if self.prompts_at not in ("anywhere", "documents"):
            raise UserError(f"task {name}: prompts_at is '{self.prompts_at}'; it may be anywhere or documents")
        for split in ("train", "validation", "test"):
            if split not in self.splits:
                raise UserError(f"task {name}: split '{split}' is missing (has: {', '.join(self.splits) or 'none'})")
        for split, frame in self.splits.items():
            if frame.empty:
                raise UserError(f"task {name}: split '{split}' has no rows")
            lacking = [column for column in COLUMNS[self.kind] if column not in frame.columns]
            if lacking:
                raise UserError(f"task {name}: split '{split}' lacks column {', '.join(lacking)}")
            for column in ("text", "text_pair", "source", "target"):
                if column in frame and not all(isinstance(text, str) for text in frame[column]):
                    raise UserError(f"task {name}: split '{split}': column {column} has a value that is not text")
            if self.kind == "classification":
                for column in ("label", "clean_label"):
                    if column in frame:
                        self._validate_labels(f"task {name}: split '{split}'", frame[column])

    def _validate_labels(self, where: str, labels: pd.Series[Any]) -> None:
        if not pd.api.types.is_integer_dtype(labels):
            raise UserError(
                f"{where}: column {labels.name} must hold whole numbers, the places of `labels`, is {labels.dtype}"
            )
        if not labels.between(0, len(self.labels) - 1).all():
            raise UserError(f"{where} has a {labels.name} outside 0..{len(self.labels) - 1}")

    def fingerprint(self) -> str:
        """Digest of everything read: kind, labels, separator and every value of every split, in order."""
        digest = hashlib.sha256(repr((self.kind, self.labels, self.metrics, self.separator)).encode())
        for split in sorted(self.splits):
            frame = self.splits[split]
            digest.update(repr((split, len(frame), sorted(frame.columns))).encode())
            for column in sorted(frame.columns):
                for value in frame[column].tolist():
                    digest.update(repr(value).encode() + b"\x1f")
        return digest.hexdigest()[:32]


@dataclass(frozen=True)
class JudgedText:
    """A text as a task judges it.

    Attributes:
        prompt, text: what was asked and what was written after it.
        token_texts: each new token decoded alone, the end-of-text token left out. They join to the text but where one
            character is spread over several tokens.
        sampling_logprobs: of each drawn token under the distribution that it was drawn from, in nats; one more than
            token_texts where the model ended the text itself; empty for a text that people wrote.
    """

    prompt: str
    text: str
    token_texts: tuple[str, ...]
    sampling_logprobs: tuple[float, ...]


class Task(ABC):
    """One task. Subclass it in a file of a `tasks/` folder and register it with `@task("name")`.

    A task that knows more of its texts than any metric can (a true distribution, a checker) names its own metrics in
    `judged` (name -> (unit `text` or `set`, what it is)) and computes them in `judge` and `judge_set`.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    Options: ClassVar[type[TaskOptions]] = TaskOptions
    judged: ClassVar[Mapping[str, tuple[str, str]]] = {}

    @abstractmethod
    def load(self, options: Any, data: Path | None) -> TaskData:
        """Reads the splits.

        Args:
            options: a validated `self.Options`.
            data: the folder of `--data` or TWODICE_DATA; None means the hub.

        Raises:
            UserError: the data is missing or malformed.
        """

    def judge(self, text: JudgedText) -> Mapping[str, float]:
        """The metrics of unit `text`, by name; NaN where one is not defined."""
        return {}

    def judge_set(self, texts: Sequence[JudgedText]) -> Mapping[str, float]:
        """The metrics of unit `set`, of all prompts' texts of one setting and replicate; NaN where not defined."""
        return {}


_REGISTRY: dict[str, type[Task]] = {}


def task(name: str) -> Callable[[type[Task]], type[Task]]:
    """Registers a Task subclass under `name`; the file must be `tasks/<name with _ for ->.py`."""

    def register(cls: type[Task]) -> type[Task]:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return register


def task_folders() -> list[Path]:
    """Where task files are searched: the user's `tasks/` folder, then the shipped one."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "_tasks" if (package / "_tasks").is_dir() else package.parent / "tasks"
    return [Path.cwd() / "tasks", shipped]


def task_names() -> list[str]:
    """Names of all tasks in all folders."""
    names = {path.stem.replace("_", "-") for folder in task_folders() for path in folder.glob("[a-z]*.py")}
    return sorted(names)


def find_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        UserError: no folder has such a file, or the file fails to import or registers another name.
    """
    file = f"{name.replace('-', '_')}.py"
    for folder in task_folders():
        if (folder / file).is_file():
            return _import_task(name, folder / file)
    raise UserError(f"unknown task '{name}'{nearest(name, task_names())}")


@cache
def _import_task(name: str, path: Path) -> Task:
    try:
        import_file(path, "task")
    except Exception as error:
        raise UserError(f"task file {path} fails to import: {type(error).__name__}: {error}") from error
    if name not in _REGISTRY:
        raise UserError(f"task file {path} does not register '{name}' (write @task(\"{name}\") above its class)")
    return _REGISTRY[name]()


def load_task(name: str, options: dict[str, Any], data: Path | None) -> TaskData:
    """Finds, reads and checks a task's data.

    Raises:
        UserError: unknown task or option, missing or malformed data.
    """
    found = find_task(name)
    try:
        parsed = found.Options.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        hint = nearest(where, list(found.Options.model_fields)) if first["type"] == "extra_forbidden" else ""
        raise UserError(f"tasks.{name}.{where}: {first['msg']}{hint}") from None
    try:
        loaded = found.load(parsed, data)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"task {name} cannot be loaded: {type(error).__name__}: {error}") from error
    loaded.validate(name)
    return loaded
