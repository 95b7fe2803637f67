"""E2E: write a sentence about a restaurant from its attributes (Novikova et al. 2017, arXiv 1706.09254).

Source: `<data>/e2e/{trainset,devset,testset_w_refs}.csv`, or tuetschek/e2e_nlg on the hub. CC BY-SA 4.0.
Splits: as published: train, `validation` (devset), `test` (testset with references). A row is a pair of meaning
representation and reference; rows with one source are its references. No source of train is in another split.
"""

from pathlib import Path

import pandas as pd

from harness.data.sources import HUB_PARQUET, data_file, hub, hub_columns, read_table, stripped
from harness.data.splits import training_subset
from harness.data.task import Task, TaskData, TaskOptions, task

FILES = {"train": "trainset.csv", "validation": "devset.csv", "test": "testset_w_refs.csv"}


@task("e2e")
class E2e(Task):
    """E2E as conditional generation; train_size counts pairs."""

    kind = "conditional"

    def load(self, options: TaskOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        splits = hub_pairs() if data is None else {split: pairs(data, file) for split, file in FILES.items()}
        sources = {split: frame["source"].nunique() for split, frame in splits.items()}
        splits["train"] = training_subset(splits["train"], options.train_size)
        note = "as published; distinct sources: " + ", ".join(f"{split} {count}" for split, count in sources.items())
        return TaskData(kind="conditional", splits=splits, note=note)


def pairs(data: Path, file: str) -> pd.DataFrame:
    """The pairs of one file."""
    path = data_file("e2e", data, f"e2e/{file}")
    return read_table(path, {"mr": "source", "ref": "target"}, delimiter=",", quoted=True)


def hub_pairs() -> dict[str, pd.DataFrame]:
    """The pairs of the hub."""
    frames = hub("e2e", "tuetschek/e2e_nlg", revision=HUB_PARQUET)
    columns = {"meaning_representation": "source", "human_reference": "target"}
    return {split: stripped(hub_columns("e2e", frames, split, columns)) for split in FILES}
