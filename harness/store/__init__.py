"""The results on disk: cells addressed by content, tidy tables as views on them. The source of truth. No torch."""

from harness.store.store import CELL_STATUSES, Record, Store, home

__all__ = ["CELL_STATUSES", "Record", "Store", "home"]
