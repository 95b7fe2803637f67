"""What a person sees while a grid runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.executors.jobs import Event, Job
from harness.executors.run import describe


class Progress:
    """Shows events. Use as a context manager; `started` and `listen` go into a Runner."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.names: dict[str, str] = {}
        self.running: dict[str, Event] = {}
        self.counts: dict[str, int] = {}
        self.total = 0
        self.began = time.monotonic()
        self.live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def started(self, jobs: Sequence[Job]) -> None:
        """Takes the jobs of a round."""
        self.names.update({cell.uid: describe(cell) for job in jobs for cell in job.cells})
        self.total += sum(len(job.cells) for job in jobs)
        self.console.print(Text(f"{self.total} cells to compute in {len(jobs)} jobs"))

    def listen(self, event: Event) -> None:
        """Takes one event."""
        if event.status == "running":
            self.running[event.uid] = event
        else:
            self.running.pop(event.uid, None)
            self.counts[event.status] = self.counts.get(event.status, 0) + 1
            self._tell(event)
        if self.live:
            self.live.update(self._view())

    def _tell(self, event: Event) -> None:
        name = self.names.get(event.uid, event.uid)
        if event.status in ("error", "diverged"):
            self.console.print(Text(f"{event.status}: {name} ({event.uid}): {event.reason}", style="red"))
        elif self.live is None:
            self.console.print(Text(f"[{sum(self.counts.values())}/{self.total}] {event.status} {name}"))

    def _view(self) -> Group:
        ended = sum(self.counts.values())
        table = Table("cell", "step", "loss", "rate", box=None, pad_edge=False)
        for uid, event in self.running.items():
            name = Text(self.names.get(uid, uid))
            table.add_row(name, f"{event.step}/{event.total}", f"{event.loss:.3f}", f"{event.rate:.3f}")
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        line = Text(f"{ended}/{self.total} cells  {counts}  {self._time(ended)}")
        return Group(ProgressBar(total=max(1, self.total), completed=ended, width=60), line, table)

    def _time(self, ended: int) -> str:
        spent = time.monotonic() - self.began
        left = f", about {spent / ended * (self.total - ended):.0f} s left" if ended >= 5 else ""
        return f"{spent:.0f} s{left}"
