"""Whole synthetic studies in which each claim is true, false, or hidden by noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.study import Study, study_of
from harness.regimes.kinds import DYNAMIC, EARLY, LATE, NONE, RESIDUAL, STATIC, WEIGHT_DECAY

REGIMES = {
    "none": NONE, "decay": WEIGHT_DECAY, "standard": STATIC, "dynamic": DYNAMIC, "early": EARLY, "late": LATE,
    "residual": RESIDUAL,
}  # fmt: skip
MODEL, LARGE, SMALL = "gpt2", "text", "text@50"
STEPS, TARGET = tuple(range(20, 220, 20)), 2.5
ROLES = ("init", "sample", "order", "mask")
Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """What is true; every number that a run gives has independent normal noise on it.

    Attributes:
        test, train: what an arm adds to the loss of the arm without dropout, by regime.
        small_test: the same at the small size of the training set.
        train_loss: of the arm without dropout; its test loss is 2.
        speed: what an arm adds to the steps until the validation loss is 2.5 (from 100), by regime.
        heads: what dropout adds to head diversity and attention entropy.
        by_k: level of every text metric at k = 1, 5 and all.
        texts: what dropout adds to text metrics at each k.
        loops: seq-rep-4 and repetition-loop at each k.
    """

    test: Mapping[str, float] = field(default_factory=dict)
    train: Mapping[str, float] = field(default_factory=dict)
    small_test: Mapping[str, float] = field(default_factory=dict)
    train_loss: float = 1.2
    speed: Mapping[str, float] = field(default_factory=dict)
    heads: float = 0.0
    by_k: tuple[float, float, float] = (0.1, 0.4, 0.7)
    texts: tuple[float, float, float] = (0.0, 0.0, 0.0)
    loops: tuple[float, float, float] = (0.6, 0.05, 0.05)
    noise: float = 0.002
    replicates: int = 8
    prompts: int = 6
    seed: int = 0
    repeat_differs: float = 0.0
    without: tuple[str, ...] = ()

    def study(self, shuffle: int | None = None) -> Study:
        """The study; `shuffle` seeds another order of the rows of every table."""
        tables = _tables(self)
        if shuffle is not None:
            rng = np.random.default_rng(shuffle)
            for name in set(tables) - {"regimes"}:
                tables[name] = tables[name].iloc[rng.permutation(len(tables[name]))].reset_index(drop=True)
        return study_of(tables, reference="none", regimes=[name for name in REGIMES if name not in self.without])


def _tables(world: World) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(world.seed)
    found: dict[str, list[Row]] = {"training": [], "cells": [], "history": [], "generation_metrics": []}
    names = [name for name in REGIMES if name not in world.without]
    for task in (SMALL, LARGE):
        for regime in names:
            for replicate in range(world.replicates):
                _add_run(found, world, rng, task, regime, replicate)
    first = [row for row in found["training"] if row["regime"] == "standard" and row["training_replicate"] == 0]
    found["training"] += [
        {**row, "uid": f"{row['uid']}-again", "repeat": 1, "value": row["value"] + world.repeat_differs}
        for row in first
    ]
    found["cells"] += [_cell(f"{task}-standard-0-again", task, "standard", 0, repeat=1) for task in (SMALL, LARGE)]
    tables = {name: pd.DataFrame(rows) for name, rows in found.items()}
    rates = [0.0 if name in ("none", "decay") else 0.3 for name in names]
    definitions = {"regime": names, "kind": [REGIMES[name] for name in names], "highest_rate": rates}
    return {**tables, "regimes": pd.DataFrame(definitions)}


def _cell(uid: str, task: str, regime: str, replicate: int, repeat: int = 0) -> Row:
    decoding = {"top_k": pd.NA, "temperature": math.nan, "top_p": math.nan, "min_p": math.nan}
    return {
        "uid": uid, "kind": "training", "task": task, "model": MODEL, "regime": regime, "training_replicate": replicate,
        "repeat": repeat, **decoding, "inference_replicate": pd.NA, "status": "done", "reason": "", "environment": "e",
    }  # fmt: skip


def _add_run(
    found: dict[str, list[Row]], world: World, rng: np.random.Generator, task: str, regime: str, replicate: int
) -> None:
    uid = f"{task}-{regime}-{replicate}"
    found["cells"].append(_cell(uid, task, regime, replicate))
    factors = {"uid": uid, "task": task, "model": MODEL, "regime": regime, "learning_rate": 1e-3}
    factors |= {"training_replicate": replicate, **dict.fromkeys(ROLES, replicate), "repeat": 0, "forwards": 1}
    half = 100.0 + world.speed.get(regime, 0.0) + 1000.0 * min(world.noise, 0.05) * rng.normal()
    losses = [max(2.0, TARGET - (step - half) / 40.0) for step in STEPS]
    found["history"] += [
        {"uid": uid, "step": step, "metric": "validation.loss", "value": loss}
        for step, loss in zip(STEPS, losses, strict=True)
    ]
    for (split, metric), value in _scores(world, task, regime, half).items():
        noise = 0.0 if metric.startswith("steps") else world.noise * rng.normal()
        found["training"].append({**factors, "split": split, "metric": metric, "value": value + noise})
    found["generation_metrics"] += _texts(world, rng, factors)


def _scores(world: World, task: str, regime: str, half: float) -> dict[tuple[str, str], float]:
    test = (world.small_test if task == SMALL else world.test).get(regime, 0.0)
    spread = world.heads if regime in ("standard", "late") else 0.0
    reached = math.nan if half > STEPS[-1] else 20.0 * math.ceil(half / 20.0)
    return {
        ("train", "loss"): world.train_loss + world.train.get(regime, 0.0),
        ("validation", "loss"): 2.0 + test,
        ("test", "loss"): 2.0 + test,
        ("validation", f"steps-to-loss-{TARGET:g}"): reached,
        ("validation", "head-diversity"): 0.3 + spread,
        ("validation", "attention-entropy"): 2.0 + spread,
    }


def _texts(world: World, rng: np.random.Generator, factors: Row) -> list[Row]:
    dropout = REGIMES[factors["regime"]] not in (NONE, WEIGHT_DECAY)
    rows = []
    for place, top_k in enumerate(("1", "5", "all")):
        of_run = {name: world.noise * rng.normal() for name in ("diversity", "loops")}
        diversity = world.by_k[place] + (world.texts[place] if dropout else 0.0) + of_run["diversity"]
        values = dict.fromkeys(("distinct-2", "replicate-distinctness"), diversity)
        values |= dict.fromkeys(("seq-rep-4", "repetition-loop"), world.loops[place] + of_run["loops"])
        for metric, value in values.items():
            unit = "prompt" if metric == "replicate-distinctness" else "text"
            if unit == "prompt" and top_k == "1":
                continue
            for prompt in range(world.prompts):
                draws = [pd.NA] if unit == "prompt" else [0] if top_k == "1" else [0, 1]
                rows += [
                    {
                        "uid": f"{factors['uid']}-{top_k}", "training_uid": factors["uid"],
                        **{name: factors[name] for name in ("task", "model", "regime", "training_replicate")},
                        "top_k": top_k, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0, "inference_replicate": draw,
                        "unit": unit, "prompt": f"p{prompt}", "metric": metric,
                        "value": value + world.noise * rng.normal(),
                    }
                    for draw in draws
                ]  # fmt: skip
    return rows
