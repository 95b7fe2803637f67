"""SST-2: is a phrase of a film review positive? (Socher et al. 2013, D13-1170; GLUE: arXiv 1804.07461)

Source: `<data>/glue_sst2/{train,dev}.tsv`, or nyu-mll/glue on the hub. Licence not stated by GLUE; research use.
Splits: `test` is the published dev set. The published train set holds phrases of its own sentences, so a random cut
of it leaks; `validation` is carved so that no phrase is on both sides, at the price of training rows (see the note).
Shifted splits, where `<data>/uci_sentences` is there: `yelp` and `amazon` (Kotzias et al. 2015; cited by request).
"""

from pathlib import Path

import pandas as pd
from pydantic import Field

from harness.data.sources import glue, label_ids, read_table
from harness.data.splits import carve_phrases, normalise, training_subset, without
from harness.data.task import Task, TaskData, TaskOptions, task

LABELS = {"0": 0, "1": 1}


class Sst2Options(TaskOptions):
    """What a grid may set."""

    validation_size: int = Field(default=872, ge=1, description="rows carved from train")
    min_words: int = Field(default=1, ge=1, description="keep training rows of at least this many words")


@task("sst2")
class Sst2(Task):
    """SST-2 with a validation set that shares no phrase with train."""

    kind = "classification"
    Options = Sst2Options

    def load(self, options: Sst2Options, data: Path | None) -> TaskData:
        """See Task.load."""
        published, dev = glue("sst2", data, {"sentence": "text", "label": "label"}, LABELS)
        train, duplicates = without(published, dev)
        train, validation, dropped = carve_phrases(train, options.validation_size)
        long = [len(normalise(text).split()) >= options.min_words for text in train["text"]]
        train, short = train[long].reset_index(drop=True), long.count(False)
        note = (
            f"test is the published dev set. Of {len(published)} published training rows {duplicates} were removed as "
            f"duplicates of test rows, {len(validation)} serve as validation (texts of 8 words and more), {dropped} "
            f"were dropped because they share a phrase with a validation row, and {short} as shorter than "
            f"min_words={options.min_words}."
        )
        splits = {"train": training_subset(train, options.train_size), "validation": validation, "test": dev}
        return TaskData(
            kind="classification",
            splits=splits | shifted(data),
            labels=("negative", "positive"),
            metrics=("accuracy",),
            note=note,
        )


def shifted(data: Path | None) -> dict[str, pd.DataFrame]:
    """Sentences about restaurants and phones; films (imdb) are no shift from SST-2. Nothing with the hub."""
    files = {} if data is None else {"yelp": "yelp_labelled.txt", "amazon": "amazon_cells_labelled.txt"}
    paths = {split: data / "uci_sentences" / file for split, file in files.items() if data is not None}
    names = {"text": "text", "label": "label"}
    return {
        split: label_ids(read_table(path, names, delimiter="\t", header=("text", "label")), LABELS, path)
        for split, path in paths.items()
        if path.is_file()
    }
