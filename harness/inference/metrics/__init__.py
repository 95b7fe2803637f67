"""Text metrics: one small file each, registered by `@text_metric`, found by being in this folder. No torch."""

from importlib import import_module
from pkgutil import iter_modules

from harness.inference.metrics.registry import (
    METRICS,
    Text,
    TextMetric,
    prompt_metrics,
    set_metrics,
    text_metric,
    text_metrics,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["METRICS", "Text", "TextMetric", "prompt_metrics", "set_metrics", "text_metric", "text_metrics"]
