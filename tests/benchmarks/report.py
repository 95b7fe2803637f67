"""From a store's tables to the report: `python tests/benchmarks/report.py [--rows N] [--tables DIR] [--profile]`.

The tables are synthetic: a grid of eight regimes, eight training replicates and six values of k, with about a million
rows of text metrics. A fresh process with one thread reads them and builds the report. Wanted: 90 s and 4 GiB.
With --tables it is a real grid's folder `results/GRID/tables` in their place.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd

REGIMES = ["none", *(f"standard-0.{place}" for place in range(1, 8))]
REPLICATES, LEVELS, EXAMPLES = 8, 4, 400
TOP_K = ["1", "2", "5", "20", "40", "all"]
TEXT = ["nll", "perplexity", "length", "repetition-loop", "token-entropy", *(f"distinct-{n}" for n in (1, 2, 3))]
TEXT += [*(f"seq-rep-{n}" for n in (1, 2, 3, 4)), "copied-span", "copied-share"]
SET, ACROSS = ["self-bleu-4", "zipf"], ["replicate-distinctness", "replicate-distinctness-error"]
TABLES = ["training", "predictions", "history", "rates", "cells", "generation_metrics", "repeated_texts", "diagnostics"]
TABLES += ["regimes", "generations"]
SPLITS, STEPS = ["train", "validation", "test"], 20
TEXTS_A_PROMPT = 1 + (len(TOP_K) - 1) * LEVELS


def runs() -> pd.DataFrame:
    """A row per run."""
    pairs = [(regime, replicate) for regime in REGIMES for replicate in range(REPLICATES)]
    frame = pd.DataFrame(pairs, columns=["regime", "training_replicate"])
    frame["uid"] = [f"{regime}-{replicate}" for regime, replicate in pairs]
    frame = frame.assign(task="synthetic", model="scratch:gpt2-tiny", learning_rate=1e-3, repeat=0, forwards=1)
    levels = dict.fromkeys(("init", "sample", "order", "mask"), frame["training_replicate"])
    return frame.assign(**levels, design="joint")


def crossed(one: pd.DataFrame, **factors: Any) -> pd.DataFrame:
    """Every row with every combination of factors."""
    return one.merge(pd.DataFrame(itertools.product(*factors.values()), columns=list(factors)), how="cross")


def text_metrics(trained: pd.DataFrame, prompts: int, dice: np.random.Generator) -> pd.DataFrame:
    """Metrics of every unit; a value is a sum of its run's, its prompt's and its own draw."""
    factors = ["task", "model", "regime", "training_replicate"]
    own = trained[["uid", *factors]].rename(columns={"uid": "training_uid"})
    own = own.assign(uid="", temperature=1.0, top_p=1.0, min_p=0.0)
    names = [f"{place:032x}" for place in range(prompts)]
    parts = [crossed(own, top_k=["1"], inference_replicate=[0], unit=["text"], metric=TEXT, prompt=names)]
    some: dict[str, Any] = {"top_k": TOP_K[1:], "inference_replicate": range(LEVELS)}
    parts.append(crossed(own, **some, unit=["text"], metric=TEXT, prompt=names))
    parts.append(crossed(own, **some, unit=["set"], metric=SET, prompt=[""]))
    parts.append(crossed(own, top_k=TOP_K[1:], unit=["prompt"], metric=ACROSS, prompt=names))
    rows = pd.concat(parts, ignore_index=True).astype({"inference_replicate": "Int64"})
    value = dice.normal(3.0, 1.0, len(rows))
    for column in (["regime", "training_replicate"], ["prompt"], ["top_k"]):
        group = rows.groupby(column, sort=False).ngroup().to_numpy()
        value += dice.normal(0.0, 0.3, group.max() + 1)[group]
    return rows.assign(value=np.abs(value))


def cells_of(trained: pd.DataFrame) -> pd.DataFrame:
    """The training cells and one cell per checkpoint, setting and level."""
    none = {"temperature": np.nan, "top_p": np.nan, "min_p": np.nan}
    factors = ["uid", "task", "model", "regime", "training_replicate", "repeat"]
    own = trained[factors].assign(kind="training", top_k=None, inference_replicate=None, **none)
    settings = [(k, level) for k in TOP_K for level in range(1 if k == "1" else LEVELS)]
    drawn = trained[factors].merge(pd.DataFrame(settings, columns=["top_k", "inference_replicate"]), how="cross")
    drawn["uid"] = drawn["uid"] + "-" + drawn["top_k"] + "-" + drawn["inference_replicate"].astype(str)
    drawn = drawn.assign(kind="generation", temperature=1.0, top_p=1.0, min_p=0.0)
    cells = pd.concat([own, drawn], ignore_index=True).assign(status="done", reason="", environment="one", seconds=1.0)
    return cells.astype({"inference_replicate": "Int64", "top_k": "str"})


def synthetic(rows: int) -> dict[str, pd.DataFrame]:
    """The tables of a store with about so many rows of text metrics."""
    dice, trained = np.random.default_rng(7), runs()
    training = crossed(trained, split=SPLITS, metric=["loss", "perplexity"])
    predictions = crossed(trained[["uid"]], split=SPLITS, example=range(EXAMPLES))
    history = crossed(trained[["uid"]], step=range(1, STEPS + 1), metric=["train.loss", "validation.loss"])
    prompts = max(2, round(rows / (len(trained) * TEXTS_A_PROMPT * len(TEXT))))
    loss = dice.exponential(3.0, len(predictions))
    return {
        "training": training.assign(value=dice.normal(3.0, 0.1, len(training))),
        "predictions": predictions.assign(label=np.nan, prediction=np.nan, loss=loss, targets=64.0),
        "history": history.assign(value=3.0 + 1.0 / history["step"]),
        "rates": crossed(trained[["uid"]], site=["sublayer"], step=[0]).assign(rate=0.1),
        "cells": cells_of(trained),
        "generation_metrics": text_metrics(trained, prompts, dice),
    }


def stages(folder: Path, out: Path) -> Iterator[str]:
    """Does one stage after another; yields the name of each that is done."""
    from harness.reporting.report import write_report
    from harness.reporting.tables import report_tables

    paths = (folder / f"{name}.parquet" for name in TABLES)
    tables = {path.stem: pd.read_parquet(path) for path in paths if path.exists()}
    regimes = list(dict.fromkeys(tables["training"]["regime"]))
    yield f"read {len(tables['generation_metrics'])} metric rows"
    built = report_tables(tables, reference=regimes[0], regimes=regimes, seed=1)
    yield "report tables"
    write_report(tables, out, name="synthetic", reference=regimes[0], regimes=regimes, built=built, seed=1)
    yield "write report"


def measure(folder: Path) -> None:
    """Builds the report in this process, and prints the seconds of every stage and the peak of memory so far."""
    with tempfile.TemporaryDirectory() as out:
        start = (time.perf_counter(), time.process_time())
        for name in stages(folder, Path(out)):
            now = (time.perf_counter(), time.process_time())
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            wall, busy = now[0] - start[0], now[1] - start[1]
            print(f"{name}: {wall:.1f} s, {busy:.1f} s of the processor; peak so far {peak:.2f} GiB", flush=True)
            start = now


def main() -> None:
    """Makes the tables, then measures in a fresh process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tables", type=Path, help="a folder with a store's tables")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    arguments = parser.parse_args()
    if arguments.here and arguments.profile:
        with cProfile.Profile() as profile:
            measure(arguments.tables)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(r"(harness|reporting)/", 60)
        return
    if arguments.here:
        measure(arguments.tables)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.tables or Path(temporary)
        for name, table in ({} if arguments.tables else synthetic(arguments.rows)).items():
            table.to_parquet(folder / f"{name}.parquet", index=False)
        command = [sys.executable, str(Path(__file__).resolve()), "--here", "--tables", str(folder.resolve())]
        flags = ["--profile"] if arguments.profile else []
        subprocess.run([*command, *flags], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
