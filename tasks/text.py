"""Your own plain-text files (UTF-8): a language task whose rows are paragraphs, joined with blank lines.

Source: files that the grid names. Splits: `train`, and `validation` and `test` where they are named; a missing one is
carved from train's paragraphs by content hash. Licence: yours to mind.
"""

from pathlib import Path

from harness.data.files import FileOptions, text_data
from harness.data.sources import read_text
from harness.data.task import Task, TaskData, task


@task("text")
class Text(Task):
    """A language task in plain-text files."""

    kind = "language"
    Options = FileOptions

    def load(self, options: FileOptions, data: Path | None) -> TaskData:
        """See Task.load."""
        return text_data("text", options, data, read_text)
