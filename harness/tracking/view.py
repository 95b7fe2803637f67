"""What MLflow is told of a cell: plain values, without torch and without mlflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DatasetView:
    """The data set of a cell: a name, the fingerprint of what was read, and where it came from."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class SettingView:
    """One decoding setting of a checkpoint; its metrics are means over prompts and inference replicates.

    Attributes:
        name: as a person reads it, for example `k=5 T=1.0`; unique within the cell.
        n: number of texts behind the means.
    """

    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    n: int

    @property
    def digest(self) -> str:
        """Changes when what MLflow should show changes."""
        return _digest(self.name, dict(self.params), dict(self.metrics), self.n)


@dataclass(frozen=True)
class CellView:
    """One training cell.

    Attributes:
        name: as a person reads it, for example `sst2 bert-tiny none r0`.
        status: done, diverged, error or skipped.
        params: flat and comparable: task, model, regime, dropout.sublayer, seed.init, ...
        metrics: final numbers, `split.metric` in the metric's own unit.
        history: (metric, optimiser step, value) of the learning curves.
        rates: (site, optimiser step, rate) where an applied dropout rate changes.
        settings: what its checkpoint generated, one per decoding setting.
    """

    uid: str
    name: str
    status: str
    reason: str = ""
    params: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    dataset: DatasetView | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[tuple[str, int, float]] = ()
    rates: Sequence[tuple[str, int, float]] = ()
    settings: Sequence[SettingView] = ()

    @property
    def key(self) -> str:
        """What the cell's run is known by: two arms of a grid may be one cell, and each has its run."""
        return f"{self.uid} {self.name}"

    @property
    def digest(self) -> str:
        """Changes when what MLflow should show of the cell itself changes; tags (git, times) and settings apart."""
        curves = [list(point) for point in (*self.history, *self.rates)]
        return _digest(self.uid, self.name, self.status, self.reason, dict(self.params), dict(self.metrics), curves)


def _digest(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
