"""Rate schedules, one file each; a new one is a file here with `@schedule("name")` above its class."""

import importlib
import pkgutil

from harness.regimes.schedules.base import SCHEDULES, Schedule, schedule

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["SCHEDULES", "Schedule", "schedule"]
