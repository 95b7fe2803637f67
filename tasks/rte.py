"""RTE: does a text entail a hypothesis? (Dagan et al. 2006 and its sequels; GLUE: Wang et al. 2018, arXiv 1804.07461)

Source: `<data>/glue_rte/{train,dev}.tsv`, or nyu-mll/glue on the hub. Licence not stated by GLUE; research use.
Splits: `test` is the published dev set; `validation` is carved from train by content hash, rows that share a sentence
stay on one side. Shifted splits, where `<data>/hans` is there: HANS (McCoy et al. 2019, arXiv 1902.01007; MIT) by
heuristic, `hans_lexical_overlap`, `hans_subsequence` and `hans_constituent`: 1,000 rows in all, chosen by hash and
balanced over heuristic x label. Not clean for a base model that has seen natural language inference.
"""

from pathlib import Path

import pandas as pd
from pydantic import Field

from harness.data.sources import data_file, glue, label_ids, read_table
from harness.data.splits import carve, content_hash, row_keys, shared_texts, training_subset, without
from harness.data.task import Task, TaskData, TaskOptions, task

COLUMNS = {"sentence1": "text", "sentence2": "text_pair", "label": "label"}
LABELS = {"entailment": 0, "not_entailment": 1}
HANS_ROWS = 1000


class RteOptions(TaskOptions):
    """What a grid may set."""

    validation_size: int = Field(default=277, ge=1, description="rows carved from train")


@task("rte")
class Rte(Task):
    """RTE, with HANS by heuristic as the shifted splits."""

    kind = "classification"
    Options = RteOptions

    def load(self, options: RteOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        published, dev = glue("rte", data, COLUMNS, LABELS)
        train, duplicates = without(published, dev)
        train, validation = carve(train, options.validation_size, ("text", "text_pair"))
        splits = {"train": training_subset(train, options.train_size), "validation": validation, "test": dev}
        if data is not None and (data / "hans").is_dir():
            splits |= {f"hans_{name}": rows.reset_index(drop=True) for name, rows in hans(data).groupby("heuristic")}
        note = (
            f"test is the published dev set. Of {len(published)} published training rows {duplicates} were removed as "
            f"duplicates of test rows and {len(validation)} serve as validation, which shares no sentence with train; "
            f"{shared_texts(train, dev)} training rows share one sentence with a test row, as published."
        )
        labels = tuple(LABELS)
        return TaskData(kind="classification", splits=splits, labels=labels, metrics=("accuracy",), note=note)


def hans(data: Path) -> pd.DataFrame:
    """1,000 rows of HANS, as many of each heuristic x label as can be (166 or 167)."""
    columns = {"sentence1": "text", "sentence2": "text_pair", "gold_label": "label", "heuristic": "heuristic"}
    labels = {"entailment": 0, "non-entailment": 1}
    paths = [data_file("rte", data, f"hans/hans_eval_half{half}.tsv") for half in (1, 2)]
    rows = pd.concat([label_ids(read_table(p, columns, delimiter="\t"), labels, p) for p in paths], ignore_index=True)
    rows["hash"] = [content_hash(key, "hans") for key in row_keys(rows)]
    cells = [cell for _, cell in rows.sort_values(["hash", "text"]).groupby(["heuristic", "label"])]
    sizes = [HANS_ROWS // len(cells) + (i < HANS_ROWS % len(cells)) for i in range(len(cells))]
    chosen = pd.concat([cell.head(size) for cell, size in zip(cells, sizes, strict=True)])
    return chosen.drop(columns="hash").reset_index(drop=True)
