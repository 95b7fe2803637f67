"""Mechanisms beside plain dropout, one file each; a new one is a file with `@mechanism("name")` above its class."""

import importlib
import pkgutil

from harness.regimes.mechanisms.base import MECHANISMS, Mechanism, Noise, Objective, Placed, Setting, mechanism

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["MECHANISMS", "Mechanism", "Noise", "Objective", "Placed", "Setting", "mechanism"]
