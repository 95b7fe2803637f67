"""CoLA: is an English sentence acceptable? (Warstadt et al. 2019, arXiv 1805.12471; GLUE: arXiv 1804.07461)

Source: `<data>/glue_cola/{train,dev,out_of_domain_dev}.tsv` (no header line), or nyu-mll/glue on the hub. Licence not
stated; example sentences from published linguistics texts, research use.
Splits: `test` is the published dev set, `validation` is carved from train by content hash. Shifted split, with files
only: `out_of_domain`, the part of the dev set (so of `test`) whose sources train does not have.
"""

from pathlib import Path

from pydantic import Field

from harness.data.sources import glue, label_ids, read_table
from harness.data.splits import carve, training_subset, without
from harness.data.task import Task, TaskData, TaskOptions, task

HEADER = ("source", "label", "mark", "sentence")
COLUMNS = {"sentence": "text", "label": "label"}
LABELS = {"0": 0, "1": 1}


class ColaOptions(TaskOptions):
    """What a grid may set."""

    validation_size: int = Field(default=1043, ge=1, description="rows carved from train")


@task("cola")
class Cola(Task):
    """CoLA with its out-of-domain part as the shifted split."""

    kind = "classification"
    Options = ColaOptions

    def load(self, options: ColaOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        published, dev = glue("cola", data, COLUMNS, LABELS, header=HEADER)
        train, duplicates = without(published, dev)
        train, validation = carve(train, options.validation_size)
        splits = {"train": training_subset(train, options.train_size), "validation": validation, "test": dev}
        note = (
            f"test is the published dev set. Of {len(published)} published training rows {duplicates} were removed as "
            f"duplicates of test rows (case and punctuation apart) and {len(validation)} serve as validation."
        )
        path = None if data is None else data / "glue_cola" / "out_of_domain_dev.tsv"
        if path is not None and path.is_file():
            splits["out_of_domain"] = label_ids(read_table(path, COLUMNS, delimiter="\t", header=HEADER), LABELS, path)
            note += f" The {len(splits['out_of_domain'])} rows of out_of_domain are a part of test."
        return TaskData(
            kind="classification",
            splits=splits,
            labels=("unacceptable", "acceptable"),
            metrics=("matthews", "accuracy"),
            note=note,
        )
