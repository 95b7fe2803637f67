"""Your own CSV files (`.tsv`: tab-separated), quoted as CSV, with a header line: classification or language.

Source: files that the grid names. Splits: `train`, and `validation` and `test` where they are named; a missing one is
carved from train by content hash. Licence: yours to mind.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from harness.data.files import TableOptions, table_data
from harness.data.sources import read_table
from harness.data.task import Task, TaskData, task


@task("csv")
class Csv(Task):
    """A task in CSV files; its kind is language where no label column is named."""

    kind = "classification"
    Options = TableOptions

    def load(self, options: TableOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        return table_data("csv", options, data, read)


def read(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """The columns of one file."""
    return read_table(path, columns, delimiter="\t" if path.suffix == ".tsv" else ",", quoted=True)
