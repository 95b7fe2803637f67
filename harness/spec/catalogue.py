"""What `twodice list` prints: everything that a grid file may name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from harness.errors import UserError

Listing = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]


def tasks() -> Listing:
    """Tasks of the user's and the shipped `tasks/` folder."""
    from harness.data.task import find_task, task_names

    rows = []
    for name in task_names():
        try:
            found = find_task(name)
            rows.append((name, str(found.kind), _first_line(type(found).__doc__)))
        except UserError as error:
            rows.append((name, "broken", str(error)))
    return ("task", "kind", "what it is"), rows


def regimes() -> Listing:
    """Sites, mechanisms and presets with formula and source; a regime is {site or mechanism: rate or schedule, ...}."""
    from harness.regimes.mechanisms import MECHANISMS
    from harness.regimes.presets import PRESETS
    from harness.regimes.regime import ALL_SITES, SITES, SOURCES

    rows = [
        (
            name,
            "site, in all" if name in ALL_SITES else "site",
            f"{text}: y = m * x / (1 - p)",
            "yes",
            "1",
            SOURCES[name],
        )
        for name, text in SITES.items()
    ]
    for name, one in sorted(MECHANISMS.items(), key=lambda item: (item[1].kind, item[0])):
        unbiased = "-" if one.unbiased is None else "yes" if one.unbiased else "no"
        rows.append((name, one.kind, one.formula, unbiased, str(one.forwards), one.source))
    for name, preset in PRESETS.items():
        note = f"{preset.source}; {preset.note}" if preset.note else preset.source
        rows.append((name, "preset", json.dumps(preset.regime), "", "", note))
    return ("name", "kind", "what it does (p: rate, m ~ Bernoulli(1 - p))", "unbiased", "forwards", "source"), rows


def schedules() -> Listing:
    """Rate schedules with formula and source."""
    from harness.regimes.schedules import SCHEDULES

    rows = [(name, schedule.formula, schedule.source) for name, schedule in sorted(SCHEDULES.items())]
    return ("schedule", "formula (t: optimiser step, T: all steps)", "source"), rows


def models() -> Listing:
    """Scratch presets; a hub id or a local folder of the same families works too."""
    from harness.data.families import FAMILIES
    from harness.spec.presets import PRESETS

    rows = [
        (f"scratch:{name}", s.family, *map(str, (s.layers, s.width, s.heads, s.positions, s.pretrain_steps)))
        for name, s in PRESETS.items()
    ]
    none = ("",) * 5
    rows.append(("a hub id, or a folder with config.json and model.safetensors", ", ".join(FAMILIES), *none))
    rows.append(("distilbert/distilgpt2", "gpt2 (of 6 layers)", *none))
    return ("model", "family", "layers", "width", "heads", "positions", "pretraining steps"), rows


def metrics() -> Listing:
    """Task metrics, text metrics, and what tasks judge their own texts by."""
    from harness.data.task import task_names
    from harness.evaluation.described import DESCRIBED
    from harness.evaluation.metrics.registry import METRICS as task_metrics
    from harness.inference.described import DESCRIBED as TEXTS_DESCRIBED
    from harness.inference.metrics import METRICS as text_metrics
    from harness.inference.own_metrics import load_own_metrics

    load_own_metrics()

    rows = [("loss", "split", "mean cross-entropy per target (example or token), nats", "-")]
    rows += [(name, "split", m.description, m.source) for name, m in sorted(task_metrics.items())]
    rows += [(name, "split", *facts) for name, facts in sorted(DESCRIBED.items())]
    rows += [(m.name, m.unit, m.description, m.source) for m in sorted(text_metrics.values(), key=lambda m: m.name)]
    rows += [(name, *facts) for name, facts in sorted(TEXTS_DESCRIBED.items())]
    rows += [row for name in task_names() for row in _judged(name)]
    return ("metric", "unit", "what it is", "source"), rows


def _judged(name: str) -> list[tuple[str, str, str, str]]:
    """The metrics that a task judges its own texts by; none of a broken task, which `list tasks` tells."""
    from harness.data.task import find_task

    try:
        found = find_task(name)
    except UserError:
        return []
    return [(metric, unit, text, f"task {name}") for metric, (unit, text) in found.judged.items()]


def grids() -> Listing:
    """Shipped grid files."""
    import yaml

    from harness.spec.load import grid_folder

    rows = []
    for path in sorted(grid_folder().glob("*.yaml")):
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows.append((path.stem, str(raw.get("description", ""))))
    return ("grid", "what it is"), rows


def claims() -> Listing:
    """What a report judges, and when each claim holds."""
    from harness.analysis.hypotheses import HYPOTHESES

    rows = [
        (one.id, one.kind, one.statement, one.holds, f"{one.margin:g}" if one.margin else "", one.needs)
        for one in HYPOTHESES
    ]
    return ("claim", "kind", "statement", "holds where", "margin", "needs"), rows


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""


CATALOGUE: dict[str, Callable[[], Listing]] = {
    function.__name__: function for function in (tasks, regimes, schedules, models, metrics, grids, claims)
}
