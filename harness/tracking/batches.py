"""Parameters, metrics and tags of one run in as few calls as MLflow allows."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.tracking.client import TrackingError

# MLflow's limits per call.
MAX_METRICS, MAX_PARAMS, MAX_TAGS, MAX_ENTITIES = 1000, 100, 100, 1000
NOT_FINITE = "twodice.not_finite"
Point = tuple[str, int, float]


def clean(names: Iterable[str]) -> dict[str, str]:
    """Each name as MLflow accepts it: letters, digits and `_ - . : space /`; anything else becomes `_`.

    Raises:
        TrackingError: two names would become one.
    """
    cleaned = {name: re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII) for name in names}
    twice = [name for name, count in Counter(cleaned.values()).items() if count > 1]
    if twice:
        raise TrackingError(f"two names become '{twice[0]}' in MLflow")
    return cleaned


def log(client: Any, run: str, params: Mapping[str, object], points: Iterable[Point], tags: Mapping[str, str]) -> None:
    """Logs everything; values that are not finite are left out and named in a tag.

    MLflow writes an infinite value as 1.8e308, and NaN as 0 with a mark that charts ignore: numbers that are wrong
    and look right.
    """
    from mlflow.entities import Metric, Param, RunTag

    points = list(points)
    names, now = clean(dict.fromkeys(name for name, _, _ in points)), int(time.time() * 1000)
    metrics = [Metric(names[n], float(v), now, int(step)) for n, step, v in points if math.isfinite(v)]
    left_out = Counter(name for name, _, value in points if not math.isfinite(value))
    noted = {NOT_FINITE: ", ".join(f"{name} x{count}" for name, count in left_out.items())} if left_out else {}
    keys = clean(params)
    all_params = [Param(keys[key], as_text(value)) for key, value in params.items()]
    all_tags = [RunTag(key, str(value)) for key, value in {**tags, **noted}.items()]
    while metrics or all_params or all_tags:
        now_params, all_params = all_params[:MAX_PARAMS], all_params[MAX_PARAMS:]
        now_tags, all_tags = all_tags[:MAX_TAGS], all_tags[MAX_TAGS:]
        room = min(MAX_METRICS, MAX_ENTITIES - len(now_params) - len(now_tags))
        now_metrics, metrics = metrics[:room], metrics[room:]
        client.log_batch(run, metrics=now_metrics, params=now_params, tags=now_tags)


def as_text(value: object) -> str:
    """A parameter as text: floats in their shortest form, true and false as YAML writes them."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
