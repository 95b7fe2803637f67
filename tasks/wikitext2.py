"""WikiText-2: articles of the English Wikipedia (Merity et al. 2017, arXiv 1609.07843), the version with `<unk>`.

Source: `<data>/wikitext2/{train,valid,test}.txt`, or Salesforce/wikitext (wikitext-2-v1) on the hub. CC BY-SA.
Splits: as published where there is a train part. A folder without `train.txt` (10 MB, often left out): the valid part
serves `train` and `validation`, cut by content hash of whole articles, and the test part is `test`; the note says so. A
row is an article; joined with line ends they are the file.
"""

import re
from itertools import pairwise
from pathlib import Path

import pandas as pd

from harness.data.sources import data_file, hub, hub_columns, read_text
from harness.data.splits import carve, training_subset
from harness.data.task import Task, TaskData, TaskOptions, task

_TITLE = re.compile(r" = [^=]+ = ?")
PARTS = {"train": "train", "validation": "valid", "test": "test"}


@task("wikitext2")
class Wikitext2(Task):
    """WikiText-2 as a language task."""

    kind = "language"

    def load(self, options: TaskOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        splits, note = hub_parts() if data is None else file_parts(data), "as published"
        if "train" not in splits:
            valid = splits["validation"]
            splits["train"], splits["validation"] = carve(valid, max(1, len(valid) // 10))
            note = (
                f"the folder has no train.txt: of the {len(valid)} articles of the published valid part "
                f"{len(splits['train'])} are train and {len(splits['validation'])} validation; not comparable with "
                "numbers of models trained on the published train part"
            )
        splits["train"] = training_subset(splits["train"], options.train_size)
        return TaskData(kind="language", splits=splits, separator="\n", note=note)


def file_parts(data: Path) -> dict[str, pd.DataFrame]:
    """The parts in a folder; train may be absent."""
    wanted = [split for split in PARTS if split != "train" or (data / "wikitext2" / "train.txt").is_file()]
    paths = {split: data_file("wikitext2", data, f"wikitext2/{PARTS[split]}.txt") for split in wanted}
    return {split: articles(read_text(path).split("\n")) for split, path in paths.items()}


def hub_parts() -> dict[str, pd.DataFrame]:
    """The three parts of the hub, where a row is a line."""
    frames = hub("wikitext2", "Salesforce/wikitext", "wikitext-2-v1")
    lines = {split: hub_columns("wikitext2", frames, split, {"text": "text"})["text"] for split in PARTS}
    return {split: articles(column.str.removesuffix("\n").tolist()) for split, column in lines.items()}


def articles(lines: list[str]) -> pd.DataFrame:
    """Whole articles. One starts at a line ` = Title = ` between blank lines, the first one at the first line."""
    blank = [True, *(not line.strip() for line in lines), True]
    starts = [i for i, line in enumerate(lines) if _TITLE.fullmatch(line) and blank[i] and blank[i + 2]]
    borders = [0, *starts[1:], len(lines)]
    return pd.DataFrame({"text": ["\n".join(lines[a:b]) for a, b in pairwise(borders)]})
