"""A synthetic store, seeded: two tasks, two models, regimes with hostile names, one arm that failed as a whole."""

import numpy as np
import pandas as pd
import pytest

from harness.reporting.report import write_report

REGIMES = ["none", "standard-0.1", "[red]50%_linear|$x$ <b>", "broken"]
ARMS = [("toy-sentiment", "scratch:bert-tiny"), ("toy-language", "scratch:gpt2-tiny")]
TOP_K = ("1", "5", "20", "all")


def _training(rng):
    for task, model in ARMS:
        for index, regime in enumerate(REGIMES[:3]):
            for replicate in range(3):
                levels = dict.fromkeys(("init", "sample", "order", "mask"), replicate)
                own = {"uid": f"{task}-{index}-{replicate}", "task": task, "model": model, "regime": regime}
                own |= {"learning_rate": 1e-3, "training_replicate": replicate, **levels, "repeat": 0, "forwards": 1}
                for split, height in (("train", 0.3), ("validation", 0.5), ("test", 0.55), ("shifted", 0.8)):
                    loss = height - 0.05 * index + 0.02 * rng.normal()
                    yield {**own, "split": split, "metric": "loss", "value": loss}
                    name, value = (
                        ("accuracy", 1 - loss / 2) if task == "toy-sentiment" else ("perplexity", np.exp(loss))
                    )
                    yield {**own, "split": split, "metric": name, "value": value}


def _metrics(rng):
    task, model = ARMS[1]
    for index, regime in enumerate(REGIMES[:3]):
        for replicate in range(3):
            for place, top_k in enumerate(TOP_K):
                own = {"uid": f"g{index}{replicate}{top_k}", "training_uid": f"{task}-{index}-{replicate}"}
                own |= {"task": task, "model": model, "regime": regime, "training_replicate": replicate}
                own |= {"top_k": top_k, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0}
                for prompt in ("p0", "p1"):
                    for level in range(1 if top_k == "1" else 3):
                        here = {"inference_replicate": level, "unit": "text", "prompt": prompt, "metric": "distinct-2"}
                        yield {**own, **here, "value": 0.4 + 0.1 * place + 0.02 * index + 0.02 * rng.normal()}
                    if top_k != "1":
                        here = {"inference_replicate": pd.NA, "unit": "prompt", "prompt": prompt}
                        value = 0.3 + 0.15 * place + 0.02 * rng.normal()
                        yield {**own, **here, "metric": "replicate-distinctness", "value": value}


def _cells():
    for task, model in ARMS:
        for index, regime in enumerate(REGIMES):
            for replicate in range(3):
                status = "error" if regime == "broken" else "done"
                yield {
                    "uid": f"{task}-{index}-{replicate}",
                    "kind": "training",
                    "task": task,
                    "model": model,
                    "regime": regime,
                    "training_replicate": replicate,
                    "top_k": pd.NA,
                    "temperature": float("nan"),
                    "top_p": float("nan"),
                    "min_p": float("nan"),
                    "inference_replicate": pd.NA,
                    "status": status,
                    "reason": "loss | is <nan> at step 3 & \\more" if status == "error" else "",
                    "seconds": 1.0,
                    "environment": "e1",
                    "finished": "2024-01-01T00:00:00",
                }


STEPS = 40


def _rates():
    """`none` has no rate; `standard-0.1` is constant; the third falls, and more so in deeper layers."""
    for task, _ in ARMS:
        for replicate in range(3):
            for index in range(3):
                yield {"uid": f"{task}-{index}-{replicate}", "site": "attention", "step": 0, "rate": 0.1 * (index == 1)}
            for layer in range(4):
                for step in range(STEPS):
                    rate = 0.1 * (layer + 1) * (1 - step / STEPS)
                    yield {"uid": f"{task}-2-{replicate}", "site": f"sublayer/{layer}", "step": step, "rate": rate}


def _history():
    for task, _ in ARMS:
        for index in range(3):
            for replicate in range(3):
                own = {"uid": f"{task}-{index}-{replicate}"}
                for step in range(1, STEPS + 1):
                    yield {**own, "step": step, "metric": "train.loss", "value": 2.0 / step}
                for step in range(10, STEPS + 1, 10):
                    value = 0.5 + 2.0 / step + 0.1 * index + 0.03 * replicate
                    yield {**own, "step": step, "metric": "validation.loss", "value": value}


@pytest.fixture
def regimes():
    return list(REGIMES)


@pytest.fixture
def tables():
    return synthetic()


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """A finished report, for tests that only read it."""
    out = tmp_path_factory.mktemp("report")
    write_report(synthetic(), out, name="quick", reference="none", regimes=REGIMES, notes=["published labels | hidden"])
    return out


def synthetic():
    rng = np.random.default_rng(11)
    return {
        "training": pd.DataFrame(_training(rng)),
        "cells": pd.DataFrame(_cells()),
        "rates": pd.DataFrame(_rates()),
        "history": pd.DataFrame(_history()),
        "generation_metrics": pd.DataFrame(_metrics(rng)).astype({"inference_replicate": "Int64"}),
    }
