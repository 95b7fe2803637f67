"""MRPC: do two sentences say the same? (Dolan and Brockett 2005, I05-5002; GLUE: Wang et al. 2018, arXiv 1804.07461)

Source: `<data>/glue_mrpc/{train,dev}.tsv`, or nyu-mll/glue on the hub. Microsoft Shared Source Licence; research use.
Splits: `test` is GLUE's dev set (not the corpus' own test part); `validation` is carved from train by content hash,
rows that share a sentence stay on one side.
"""

from pathlib import Path

from pydantic import Field

from harness.data.sources import glue
from harness.data.splits import carve, shared_texts, training_subset, without
from harness.data.task import Task, TaskData, TaskOptions, task

COLUMNS = {"#1 String": "text", "#2 String": "text_pair", "Quality": "label"}
HUB_COLUMNS = {"sentence1": "text", "sentence2": "text_pair", "label": "label"}
LABELS = {"0": 0, "1": 1}


class MrpcOptions(TaskOptions):
    """What a grid may set."""

    validation_size: int = Field(default=408, ge=1, description="rows carved from train")


@task("mrpc")
class Mrpc(Task):
    """MRPC with a validation set that shares no sentence with train."""

    kind = "classification"
    Options = MrpcOptions

    def load(self, options: MrpcOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        published, dev = glue("mrpc", data, COLUMNS, LABELS, hub_names=HUB_COLUMNS)
        train, duplicates = without(published, dev)
        train, validation = carve(train, options.validation_size, ("text", "text_pair"))
        note = (
            f"test is the published dev set. Of {len(published)} published training rows {duplicates} were removed as "
            f"duplicates of test rows and {len(validation)} serve as validation, which shares no sentence with train; "
            f"{shared_texts(train, dev)} training rows share one sentence with a test row, as published."
        )
        return TaskData(
            kind="classification",
            splits={"train": training_subset(train, options.train_size), "validation": validation, "test": dev},
            labels=("not_equivalent", "equivalent"),
            metrics=("f1", "accuracy"),
            note=note,
        )
