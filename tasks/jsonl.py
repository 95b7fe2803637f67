"""Your own JSON lines files, one object a line: classification or language.

Source: files that the grid names. Splits: `train`, and `validation` and `test` where they are named; a missing one is
carved from train by content hash. Licence: yours to mind.
"""

from pathlib import Path

from harness.data.files import TableOptions, table_data
from harness.data.sources import read_jsonl
from harness.data.task import Task, TaskData, task


@task("jsonl")
class Jsonl(Task):
    """A task in JSON lines files; its kind is language where no label key is named."""

    kind = "classification"
    Options = TableOptions

    def load(self, options: TableOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        return table_data("jsonl", options, data, read_jsonl)
