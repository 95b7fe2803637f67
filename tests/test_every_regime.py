"""Every schedule, preset, mechanism and site on a real checkpoint and real sentences: no failed cell. Minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toolbox import SHARED, needs_shared

from harness.data.task import load_task
from harness.executors.run import Runner
from harness.regimes.mechanisms import MECHANISMS, Noise, Objective, Placed
from harness.regimes.presets import PRESETS
from harness.regimes.regime import SITES
from harness.regimes.schedules import SCHEDULES
from harness.spec.load import parse_grid

pytestmark = [pytest.mark.slow, needs_shared]
STEPS = 6
PARAMETERS: dict[str, dict[str, Any]] = {
    "annealed": {"start": 0.3},
    "constant": {"value": 0.1},
    "cosine": {"start": 0.3, "end": 0.0},
    "curriculum": {"end": 0.3},
    "early": {"rate": 0.3},
    "exponential": {"start": 0.3},
    "late": {"rate": 0.1},
    "linear": {"start": 0.3, "end": 0.0},
    "piecewise": {"rates": [0.1, 0.3], "at": [0.5]},
    "plateau": {"start": 0.2, "patience": 1},
    "triangle": {"trough": 0.0, "peak": 0.2},
}


def regimes() -> dict[str, Any]:
    """One arm for each schedule, preset, site, mechanism and noise, a matched one, and one with depth."""
    arms: dict[str, Any] = {"none": {}, "standard": {"all": 0.1}}
    arms |= {f"schedule-{name}": {"all": {name: PARAMETERS[name]}} for name in SCHEDULES}
    arms |= {f"matched-{name}": {"all": {name: PARAMETERS[name]}, "match": {"mean-rate": "standard"}}
             for name, one in SCHEDULES.items() if not one.driven}  # fmt: skip
    arms |= {f"preset-{name}": name for name in PRESETS}
    arms |= {f"site-{site}": {site: 0.02} for site in SITES}
    for name, one in MECHANISMS.items():
        noisy = {site: {"rate": 0.1, "noise": name} for site in SITES if site != "attention"}
        arms[f"mechanism-{name}"] = noisy if issubclass(one, Noise) else {name: 0.1}
        if issubclass(one, Placed) and not one.structural:
            arms[f"scheduled-{name}"] = {name: {"linear": {"start": 0.3, "end": 0.0}}}
        if issubclass(one, Objective):
            arms[f"mechanism-{name}"]["all"] = 0.1
    arms["depth-linear"] = {"all": {"rate": 0.2, "depth": "linear"}}
    arms["depth-list"] = {"sublayer": {"rate": 0.2, "depth": [1, 0.8, 0.6, 0.4, 0.2, 0]}}
    arms["everything"] = {"all": 0.1, "identity": 0.01, "rdrop": 1.0, "label_smoothing": 0.1, "mixout": 0.3,
                          "layerdrop": 0.1, "drophead": 0.1, "stochastic_depth": 0.1, "token_dropout": 0.1,
                          "sublayer": {"rate": 0.1, "noise": "gaussian"}, "weight_decay": 0.1}  # fmt: skip
    return arms


def few_sentences(folder: Path) -> dict[str, str]:
    """The first sentences of SST-2 as CSV files in the test's folder."""
    data = load_task("sst2", {}, SHARED / "data")
    for split, count in (("train", 96), ("validation", 32), ("test", 32)):
        frame = data.splits[split].head(count)[["text", "label"]]
        frame.assign(label=frame["label"].map({0: "bad", 1: "good"})).to_csv(folder / f"{split}.csv", index=False)
    return {**{split: f"{split}.csv" for split in ("train", "validation", "test")}, "label": "label"}


def test_no_cell_of_any_regime_fails(home: Path) -> None:
    arms = regimes()
    grid = parse_grid(
        {
            "name": "every-regime",
            "seed": 20240917,
            "tasks": [{"csv": few_sentences(home)}],
            "models": [str(SHARED / "models" / "minilm-l6-h384")],
            "regimes": arms,
            "training": {"steps": STEPS, "batch_size": 8, "learning_rate": 1e-4, "max_length": 48,
                         "evaluate_every": 2, "select": "last"},
            "replicates": {"training": {"count": 1}, "repeats": 0},
            "keep": "none",
            "device": "cpu",
        },
        "grid",
    )  # fmt: skip
    outcome = Runner(grid, home, home, jobs=1, say=lambda _: None).run()
    assert outcome.failed == []
    cells = outcome.tables["cells"]
    training = outcome.tables["training"]
    gpt2_only = {name for name in arms if name == "mechanism-layer_norm_skip"}
    assert set(training["regime"]) == set(arms) - gpt2_only
    assert set(cells["status"]) <= {"done", "skipped"}
    losses = training.query("split == 'test' and metric == 'loss'").set_index("regime")["value"]
    assert losses.notna().all()
    # Equal arms are one cell; every other one must have left a trace in the weights.
    same = {"none", "standard", "schedule-constant", "matched-constant"}
    different = losses[[name for name in losses.index if name not in same]]
    assert losses["standard"] == losses["schedule-constant"] == losses["matched-constant"]
    assert (different != losses["none"]).all()
