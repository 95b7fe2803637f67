"""How the mirror finds its own runs again: tags, and one search per grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PARENT = "mlflow.parentRunId"
GRID_KEY, GRID_RUN, UID, SETTING = "twodice.grid_key", "twodice.grid_run", "twodice.uid", "twodice.setting"
# Two arms may be one cell (equal rates under two names): a run is known by its uid and its name.
CELL = "twodice.cell"
DIGEST, STATUS, KIND = "twodice.digest", "twodice.status", "twodice.kind"
_PAGE = 1000


@dataclass(frozen=True)
class Logged:
    """A run that is in MLflow: its id, the digest of what it shows, and whether it was logged to its end."""

    run: str
    digest: str
    ended: bool

    def holds(self, digest: str) -> bool:
        """Whether nothing would change by logging again."""
        return self.ended and self.digest == digest


def search(client: Any, experiment: str, tag: str, value: str) -> Iterator[Any]:
    """All runs of an experiment with a tag, oldest first, page by page. `value` is hex digits, never a user's text."""
    token: str | None = None
    while True:
        page = client.search_runs(
            [experiment],
            filter_string=f"tags.`{tag}` = '{value}'",
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return
