"""Task metrics: one small file each, registered by `@metric`, found by being in this folder.

Importing this package is light: `evaluate` and scikit-learn are imported when a metric is computed.
"""

from importlib import import_module
from pkgutil import iter_modules

from harness.evaluation.metrics.registry import (
    METRICS,
    TaskMetric,
    TextLoss,
    compute_metrics,
    greater_is_better,
    metrics_reading,
    text_metrics,
)

for _module in iter_modules(__path__):
    if _module.name != "wrapper":
        import_module(f"{__name__}.{_module.name}")

__all__ = [
    "METRICS",
    "TaskMetric",
    "TextLoss",
    "compute_metrics",
    "greater_is_better",
    "metrics_reading",
    "text_metrics",
]
