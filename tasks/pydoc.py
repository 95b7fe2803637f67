"""The Python language reference that every CPython carries (`pydoc_data.topics`): English prose and code, no download.

Source: the running Python, so the text differs between Python versions; the fingerprint tells them apart. PSF licence.
Splits: 80/10/10, by the hash of a topic's name. A row is a topic, in the order of the names.
"""

from pathlib import Path

import pandas as pd

from harness.data.splits import content_hash, training_subset
from harness.data.task import Task, TaskData, TaskOptions, task


@task("pydoc")
class Pydoc(Task):
    """The Python reference as a language task."""

    kind = "language"

    def load(self, options: TaskOptions, data: Path | None) -> TaskData:
        """See Task.load; `data` is not used."""
        from pydoc_data.topics import topics

        names: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for name in sorted(topics):
            share = content_hash(name, "pydoc") / 2**64
            names["train" if share < 0.8 else "validation" if share < 0.9 else "test"].append(name)
        splits = {
            split: pd.DataFrame({"text": [topics[name].strip() for name in some], "topic": some})
            for split, some in names.items()
        }
        splits["train"] = training_subset(splits["train"], options.train_size)
        note = "topics of the Python reference of the running Python, split by the hash of their names"
        return TaskData(kind="language", splits=splits, separator="\n\n", note=note)
