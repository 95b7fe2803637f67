"""What `twodice list` prints: everything that a grid file may name."""

from __future__ import annotations

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
    """Sites and how a regime is written."""
    from harness.regimes.regime import ALL_SITES, SITES

    rows = [(site, text, "yes" if site in ALL_SITES else "no") for site, text in SITES.items()]
    return ("site", "where dropout acts; a regime is {site: rate or schedule, ...}", "in `all`"), rows


def schedules() -> Listing:
    """Rate schedules with formula and source."""
    from harness.regimes.schedules import SCHEDULES

    rows = [(name, schedule.formula, schedule.source) for name, schedule in sorted(SCHEDULES.items())]
    return ("schedule", "formula (t: optimiser step, T: all steps)", "source"), rows


def models() -> Listing:
    """Scratch presets; a hub id or a local folder works too."""
    from harness.spec.presets import PRESETS

    rows = [
        (f"scratch:{name}", str(s.layers), str(s.width), str(s.heads), str(s.positions), str(s.pretrain_steps))
        for name, s in PRESETS.items()
    ]
    rows.append(("a hub id, or a folder with config.json and model.safetensors", "", "", "", "", ""))
    return ("model", "layers", "width", "heads", "positions", "pretraining steps"), rows


def metrics() -> Listing:
    """Task metrics and text metrics."""
    from harness.evaluation.metrics.registry import METRICS as task_metrics
    from harness.inference.metrics import METRICS as text_metrics

    rows = [
        ("loss", "split", "mean cross-entropy per target (example or token), nats", "-"),
        ("perplexity", "split", "exp(loss) of a language model", "Jelinek, Mercer, Bahl, Baker 1977"),
    ]
    rows += [(name, "split", m.description, m.source) for name, m in sorted(task_metrics.items())]
    rows += [(m.name, m.unit, m.description, m.source) for m in sorted(text_metrics.values(), key=lambda m: m.name)]
    return ("metric", "unit", "what it is", "source"), rows


def grids() -> Listing:
    """Shipped grid files."""
    import yaml

    from harness.spec.load import grid_folder

    rows = []
    for path in sorted(grid_folder().glob("*.yaml")):
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows.append((path.stem, str(raw.get("description", ""))))
    return ("grid", "what it is"), rows


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""


CATALOGUE: dict[str, Callable[[], Listing]] = {
    function.__name__: function for function in (tasks, regimes, schedules, models, metrics, grids)
}
