"""CoLA: is an English sentence acceptable? (Warstadt et al. 2019, arXiv 1805.12471; GLUE: arXiv 1804.07461)

Source: `<data>/glue_cola/{train,dev,in_domain_dev,out_of_domain_dev}.tsv` (no header line), or nyu-mll/glue on the
hub. Licence not stated; example sentences from published linguistics texts, research use.
Splits: `test` is the published dev set, `validation` is carved from train by content hash. With files only, the two
parts of the dev set (so of `test`): `in_domain`, and the shift, `out_of_domain`, whose sources train does not have.
"""

from pathlib import Path

import pandas as pd
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
    """CoLA with the in-domain and the out-of-domain part of its dev set."""

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
        parts = domains(data)
        note += "".join(f" The {len(frame)} rows of {split} are a part of test." for split, frame in parts.items())
        return TaskData(
            kind="classification",
            splits=splits | parts,
            labels=("unacceptable", "acceptable"),
            metrics=("matthews", "accuracy"),
            note=note,
        )


def domains(data: Path | None) -> dict[str, pd.DataFrame]:
    """The parts of the dev set by domain, as far as their files are there. Nothing with the hub."""
    paths = {} if data is None else {s: data / "glue_cola" / f"{s}_dev.tsv" for s in ("in_domain", "out_of_domain")}
    return {
        split: label_ids(read_table(path, COLUMNS, delimiter="\t", header=HEADER), LABELS, path)
        for split, path in paths.items()
        if path.is_file()
    }
