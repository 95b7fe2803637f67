"""What planning and training both need of a problem: its data and its tokenizer, each made once."""

from __future__ import annotations

import os
import uuid
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.data.task import TaskData, load_task
from harness.identity import uid

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from harness.spec.models import Model

TOKENIZER_VERSION = 1


def task_data(name: str, options: dict[str, Any], data: Path | None) -> tuple[TaskData, str]:
    """A task's data and its fingerprint, read from its source each time: a file may have changed in between.

    Raises:
        UserError: see `load_task`.
    """
    loaded = load_task(name, options, data)
    return loaded, loaded.fingerprint()


def corpus(data: TaskData) -> list[str]:
    """The training texts: what tokenizers and scratch bases are made from. Never another split."""
    train: pd.DataFrame = data.splits["train"]
    columns = ("source", "target") if data.kind == "conditional" else ("text", "text_pair")
    return [text for column in columns if column in train for text in train[column].tolist()]


def tokenizer_for(model: Model, data: TaskData, fingerprint: str, cache: Path) -> Tokenizer:
    """The model's own tokenizer, or one trained on the task's corpus and cached by content.

    Args:
        model: a resolved model.
        data, fingerprint: the task's data.
        cache: folder for trained tokenizers.
    """
    from harness.data.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

    if model.folder is not None:
        return load_tokenizer(model.folder)
    recipe = {
        "version": TOKENIZER_VERSION,
        "library": metadata.version("tokenizers"),
        "kind": model.tokenizer,
        "family": model.family,
        "vocabulary": model.vocabulary,
        "data": fingerprint,
    }
    folder = cache / uid(recipe)
    if not folder.is_dir():
        trained = train_tokenizer(
            "char" if model.tokenizer == "char" else "bpe", corpus(data), model.vocabulary, model.family
        )
        temporary = cache / f".{uuid.uuid4().hex[:8]}"
        save_tokenizer(trained, temporary)
        os.rename(temporary, folder)
    return load_tokenizer(folder)
