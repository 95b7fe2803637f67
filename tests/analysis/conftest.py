"""Tiny tables in the store's form, written by hand so that every mean can be computed by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from harness.analysis.factorial import Factorial

LOSSES = {
    # (regime, replicate): (train loss, test loss)
    ("none", 0): (0.10, 0.50),
    ("none", 1): (0.20, 0.70),
    ("none", 2): (0.30, 0.60),
    ("standard", 0): (0.30, 0.45),
    ("standard", 1): (0.30, 0.55),
    ("standard", 2): (0.60, 0.50),
}


def training_row(uid, regime, replicate, split, metric, value, repeat=0, learning_rate=1e-4, task="sst2"):
    levels = dict.fromkeys(("init", "sample", "order", "mask"), replicate)
    factors = {"uid": uid, "task": task, "model": "bert", "regime": regime, "learning_rate": learning_rate}
    where = {"training_replicate": replicate, **levels, "repeat": repeat, "forwards": 1}
    return {**factors, **where, "split": split, "metric": metric, "value": value}


def cell_row(uid, regime, replicate, status="done", kind="training", environment="e1", task="sst2", **decoding):
    if "top_k" in decoding:
        decoding = {"top_p": 1.0, "min_p": 0.0, **decoding}
    none = dict.fromkeys(("temperature", "top_p", "min_p"), float("nan"))
    setting = {"top_k": pd.NA, **none, "inference_replicate": pd.NA, **decoding}
    factors = {"uid": uid, "kind": kind, "task": task, "model": "bert", "regime": regime}
    volatile = {"seconds": 1.0, "environment": environment, "finished": "2024-01-01"}
    return {**factors, "training_replicate": replicate, **setting, "status": status, "reason": "", **volatile}


def crossed(shape, variances, rng):
    """Runs of a fully random crossed design: a draw for every combination of levels of every set of axes."""
    values = np.zeros(shape)
    for subset, variance in variances.items():
        size = [count if axis in subset else 1 for axis, count in enumerate(shape)]
        values = values + math.sqrt(variance) * rng.normal(size=size)
    return Factorial(tuple("abcd"[: len(shape)]), values)


@pytest.fixture
def training():
    rows = []
    for (regime, replicate), values in LOSSES.items():
        for split, value in zip(("train", "test"), values, strict=True):
            rows.append(training_row(f"{regime}{replicate}", regime, replicate, split, "loss", value))
    return pd.DataFrame(rows)


@pytest.fixture
def cells():
    return pd.DataFrame([cell_row(f"{regime}{replicate}", regime, replicate) for regime, replicate in LOSSES])


@pytest.fixture
def make_training_row():
    return training_row


@pytest.fixture
def make_cell_row():
    return cell_row


@pytest.fixture
def make_crossed():
    return crossed
