"""A store's tables made up: runs, cells, text metrics and predictions of two models, every value another one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.blocks import Block

REGIMES = ["none", "standard", "late"]
SETTINGS = [("1", 1.0), ("5", 1.0), ("all", 0.7), ("all", 1.0)]
PROBLEMS = [("toy", "bert"), ("toy", "gpt2")]
Row = dict[str, Any]


def uid_of(model: str, regime: str, replicate: int, merged: bool) -> str:
    """Of a regime without dropout, runs 0 and 1 are one cell where `merged`."""
    return f"{model}-{regime}-{0 if merged and regime == 'none' and replicate == 1 else replicate}"


def run_rows(replicates: int, merged: bool) -> list[Row]:
    """A run per problem, regime and replicate: roles init and mask, so that runs 0 and 1 differ in mask alone."""
    rows = []
    for (task, model), regime, replicate in itertools.product(PROBLEMS, REGIMES, range(replicates)):
        levels = {"init": replicate // 2, "sample": 0, "order": 0, "mask": replicate % 2}
        row = {"uid": uid_of(model, regime, replicate, merged), "task": task, "model": model, "regime": regime}
        rows.append({**row, **levels, "training_replicate": replicate, "repeat": 0, "design": "crossed"})
    return rows


def training_table(runs: Sequence[Row]) -> pd.DataFrame:
    """Loss and accuracy of two splits of every run; cells that are one have one value."""
    rows = []
    for run, split, metric in itertools.product(runs, ("train", "test"), ("loss", "accuracy")):
        value = float(np.random.default_rng([*map(ord, run["uid"] + split + metric)]).random())
        rows.append({**run, "learning_rate": 1e-3, "forwards": 1, "split": split, "metric": metric, "value": value})
    return pd.DataFrame(rows)


def cells_table(runs: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame([{**run, "kind": "training", "status": "done", "environment": "e1"} for run in runs])


def text_row(run: Row, setting: tuple[str, float], prompt: str, level: int | None, metric: str, value: float) -> Row:
    factors = {name: run[name] for name in ("task", "model", "regime", "training_replicate")}
    decoding = {"top_k": setting[0], "temperature": setting[1], "top_p": 1.0, "min_p": 0.0}
    unit = "prompt" if level is None else "text" if prompt else "set"
    own = {"training_uid": run["uid"], "inference_replicate": level, "unit": unit, "prompt": prompt}
    return {**factors, **decoding, **own, "metric": metric, "value": value}


def text_rows(run: Row, prompts: int, levels: int) -> list[Row]:
    """Of every unit one metric, its values unique; human texts beside them."""
    rows = []
    dice = np.random.default_rng([*map(ord, run["uid"])])
    for setting in [*SETTINGS, ("human", 1.0)]:
        for level in range(1 if setting[0] == "1" else levels):
            for prompt in range(prompts):
                rows.append(text_row(run, setting, f"p{prompt}", level, "distinct-2", float(dice.random())))
            rows.append(text_row(run, setting, "", level, "self-bleu-4", float(dice.random())))
        for prompt in range(prompts):
            rows.append(text_row(run, setting, f"p{prompt}", None, "replicate-distinctness", float(dice.random())))
    return rows


def metrics_table(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"inference_replicate": "Int64", "training_replicate": "Int64"})


def predictions_table(runs: Sequence[Row], examples: Sequence[int], language: bool, dice: np.random.Generator) -> Any:
    rows = []
    for uid in dict.fromkeys(run["uid"] for run in runs):
        for split, example in itertools.product(("test", "train"), examples):
            label, prediction = (math.nan, math.nan) if language else dice.integers(2, size=2).astype(float).tolist()
            targets = float(dice.integers(1, 9)) if language else math.nan
            row = {"uid": uid, "split": split, "example": example, "label": label, "prediction": prediction}
            rows.append({**row, "loss": float(dice.exponential()), "targets": targets})
    return pd.DataFrame(rows)


def assert_equal(one: Block, two: Block) -> None:
    for field in fields(Block):
        if field.name == "values":
            np.testing.assert_array_equal(one.values, two.values)
        else:
            assert getattr(one, field.name) == getattr(two, field.name)
