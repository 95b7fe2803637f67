"""Tiny Shakespeare: 1.1 million characters of plays, cut as nanoGPT cuts them.

Source: `<data>/tinyshakespeare/input.txt`, or karpathy/tiny_shakespeare on the hub (whose three parts, joined, are that
file). Public-domain text.
Splits: `train` is the first 90 % of the characters. No third part was published: the last 10 %, nanoGPT's validation
part, is both `validation` and `test` (a number selected on it is optimistic), unless `holdout` is set: then
`validation` is the last tenth of train. A row is a passage between blank lines, in the order of the text.
"""

from pathlib import Path

import pandas as pd
from pydantic import Field

from harness.data.sources import HUB_PARQUET, data_file, hub, hub_columns, read_text
from harness.data.splits import training_subset
from harness.data.task import Task, TaskData, TaskOptions, task


class ShakespeareOptions(TaskOptions):
    """What a grid may set."""

    holdout: bool = Field(default=False, description="carve validation from the last tenth of train")


@task("shakespeare")
class Shakespeare(Task):
    """Tiny Shakespeare as a language task."""

    kind = "language"
    Options = ShakespeareOptions

    def load(self, options: ShakespeareOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        train, test = cut(text_of(data))
        validation = test
        note = (
            "validation and test are the same rows, the last tenth of the text (nanoGPT's published validation part): "
            "what was selected on validation is optimistic on test"
        )
        if options.holdout:
            train, validation = cut(train)
            note = "test is the last tenth of the text, validation the last tenth of the rest"
        frames = {"train": passages(train), "validation": passages(validation), "test": passages(test)}
        frames["train"] = training_subset(frames["train"], options.train_size)
        return TaskData(kind="language", splits=frames, separator="\n\n", note=note)


def text_of(data: Path | None) -> str:
    """The whole text."""
    if data is not None:
        return read_text(data_file("shakespeare", data, "tinyshakespeare/input.txt"))
    frames = hub("shakespeare", "karpathy/tiny_shakespeare", revision=HUB_PARQUET)
    parts = [hub_columns("shakespeare", frames, part, {"text": "text"}) for part in ("train", "validation", "test")]
    return "".join(text for part in parts for text in part["text"])


def cut(text: str) -> tuple[str, str]:
    """The first 90 % of the characters, rounded down as nanoGPT does, and the rest."""
    border = int(len(text) * 0.9)
    return text[:border], text[border:]


def passages(text: str) -> pd.DataFrame:
    """A row a passage; joined with blank lines they are the text, character by character."""
    return pd.DataFrame({"text": text.split("\n\n")})
