"""From 100,000 stored texts to metrics, tables and the report: `python tests/benchmarks/tables.py [--texts N]`.

The store is synthetic: real cells of a conditional task with five references a prompt, their texts Zipfian tokens that
no model drew. It is made first; a fresh process with one thread then builds everything, twice: the second time from the
metrics that are kept. Wanted: 120 s and 3 GiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd

from harness.data.assets import task_data, tokenizer_for
from harness.spec.cells import GenerationCell, TrainingCell
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.store import Record, Store

CHECKPOINTS, SETTINGS, REPLICATES, TOKENS = 4, 8, 7, 48
CELLS = CHECKPOINTS * (1 + (SETTINGS - 1) * REPLICATES)

TASK = '''
import numpy as np, pandas as pd
from harness.data.task import Task, TaskData, task

def pairs(seed, sources, references):
    dice = np.random.default_rng(seed)
    words = np.array([f"{a}{b}{c}" for a in "bdfghklmnprst" for b in "aeiou" for c in ("ng", "rt", "la", "si")])
    share = 1 / np.arange(1, len(words) + 1); share /= share.sum()
    heads, tails = (words[dice.choice(len(words), (n, 16), p=share)] for n in (sources, sources * references))
    named = [f"{' '.join(head[:6])} {seed} {place}" for place, head in enumerate(heads)]
    rows = [(named[i // references], " ".join(tail[: dice.integers(8, 16)])) for i, tail in enumerate(tails)]
    return pd.DataFrame(rows, columns=["source", "target"])

@task("synthetic")
class Synthetic(Task):
    """Pairs of Zipfian words."""
    kind = "conditional"

    def load(self, options, data):
        return TaskData("conditional", {"train": pairs(1, 20000, 2), "validation": pairs(2, 50, 1),
                                        "test": pairs(3, 1000, 5)})
'''


def grid(texts: int) -> dict[str, Any]:
    """So many prompts that there are about so many sampled texts."""
    return {
        "name": "synthetic",
        "seed": 1,
        "tasks": ["synthetic"],
        "models": [{"scratch:gpt2-tiny": {"pretrain_steps": 0, "vocabulary": 1000, "positions": 128}}],
        "regimes": {"none": {}, "standard-0.1": {"all": 0.1}},
        "training": {"steps": 2, "max_length": 120},
        "replicates": {"training": {"count": CHECKPOINTS // 2}, "inference": {"count": REPLICATES}, "repeats": 0},
        "decoding": {
            "top_k": [1, 2, 5, 10, 20, 40, 100, "all"],
            "prompts": max(2, round(texts / CELLS)),
            "max_new_tokens": TOKENS,
        },
        "device": "cpu",
    }


def expanded(folder: Path, texts: int) -> tuple[Expansion, Store]:
    """The grid's cells, and the store below a folder."""
    store = Store(folder / "results")
    return expand(parse_grid(grid(texts), "synthetic"), store, None), store


def make_store(folder: Path, texts: int) -> None:
    """Stores every cell of the grid."""
    expansion, store = expanded(folder, texts)
    problem = expansion.problems[0]
    data, fingerprint = task_data(problem.task, {}, None)
    tokenizer = tokenizer_for(problem.model, data, fingerprint, store.root / "cache" / "tokenizers")
    dice = np.random.default_rng(7)
    for cell in expansion.training:
        save(store, cell, training_frames(dice), {"selected_step": 2, "metrics": {}, "checkpoint": cell.uid})
    asked = expansion.prompts[problem.label, problem.model.name]
    for text in expansion.generation:
        frame = human_frame(text, asked) if text.setting.human else sampled_frame(text, asked, dice)
        logprobs = [(-dice.exponential(2, len(ids))).tolist() for ids in frame["token_ids"]]
        frame["text"] = tokenizer.decode_batch(frame["token_ids"].tolist(), skip_special_tokens=False)
        frame = frame.assign(logprobs=logprobs, base_logprobs=logprobs)
        frame["sampling_logprobs"] = [[] for _ in logprobs] if text.setting.human else logprobs
        save(store, text, {"generations": frame}, {"texts": len(frame), "rows_independent": True})


def save(store: Store, cell: TrainingCell | GenerationCell, frames: dict[str, pd.DataFrame], summary: Any) -> None:
    """Stores a cell that nothing computed."""
    store.save(Record(cell.uid, cell.kind, "done", cell.identity, summary=summary, environment="none"), frames=frames)


def training_frames(dice: np.random.Generator) -> dict[str, pd.DataFrame]:
    """The tables of a training cell, with one number each."""
    loss = float(dice.normal(2, 0.1))
    splits = ["train", "validation", "test"]
    row = {"split": "test", "example": 0, "label": 0, "prediction": 0, "loss": loss, "targets": 1}
    return {
        "metrics": pd.DataFrame({"split": splits, "metric": "loss", "value": loss}),
        "predictions": pd.DataFrame([row]),
        "history": pd.DataFrame({"step": [2], "metric": ["validation.loss"], "value": [loss]}),
        "rates": pd.DataFrame({"site": ["sublayer"], "step": [0], "rate": [0.0]}),
    }


def sampled_frame(cell: GenerationCell, asked: Any, dice: np.random.Generator) -> pd.DataFrame:
    """Zipfian tokens, the smaller k the steeper; a quarter of the texts ends early."""
    slope = {"1": 3.0, "2": 2.4, "5": 2.0, "10": 1.8, "20": 1.6, "40": 1.4, "100": 1.2}.get(cell.setting.label, 1.1)
    share = np.arange(1, 901) ** -slope
    drawn = dice.choice(900, (len(asked), TOKENS), p=share / share.sum()) + 50
    lengths = np.where(dice.random(len(asked)) < 0.25, dice.integers(5, TOKENS, len(asked)), TOKENS)
    ids = [row[:length].tolist() for row, length in zip(drawn, lengths, strict=True)]
    return frame_of([one.prompt for one in asked], ids)


def human_frame(cell: GenerationCell, asked: Any) -> pd.DataFrame:
    """The references of one level."""
    return frame_of([one.prompt for one in asked], [list(one.humans[cell.level].token_ids) for one in asked])


def frame_of(prompts: Any, token_ids: list[list[int]]) -> pd.DataFrame:
    """The columns that prompts and tokens decide."""
    names = {"prompt": [prompt.id for prompt in prompts], "prompt_text": [prompt.text for prompt in prompts]}
    return pd.DataFrame({**names, "token_ids": token_ids, "finished": [len(ids) < TOKENS for ids in token_ids]})


def measure(folder: Path, texts: int) -> None:
    """Builds tables and report in this process, and prints the seconds of every stage and the peak of memory."""
    from harness.reporting.report import write_report
    from harness.reporting.tables import report_tables
    from harness.store.tables import build_tables, write_tables

    expansion, store = expanded(folder, texts)
    clock, processor = [time.perf_counter()], time.process_time()
    tables = build_tables(expansion, store)
    clock.append(time.perf_counter())
    write_tables(tables, store.root / "synthetic" / "tables")
    clock.append(time.perf_counter())
    regimes = list(expansion.grid.regimes)
    built = report_tables(tables, reference="none", regimes=regimes)
    clock.append(time.perf_counter())
    write_report(tables, folder / "report", name="synthetic", reference="none", regimes=regimes, built=built)
    clock.append(time.perf_counter())
    seconds, busy = clock[-1] - clock[0], time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    names = ("metrics and tables", "write tables", "report tables", "write report")
    stages = ", ".join(f"{name} {b - a:.1f}" for name, a, b in zip(names, clock, clock[1:], strict=False))
    count, rows = len(tables["generations"]), len(tables["generation_metrics"])
    print(
        f"{count} texts, {rows} metric rows: {seconds:.1f} s, {busy:.1f} s of the processor ({stages}); {peak:.2f} GiB"
    )


def main() -> None:
    """Makes the store, then measures twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="measure what an earlier run with --keep left here")
    parser.add_argument("--keep", type=Path, help="make the store here and leave it")
    arguments = parser.parse_args()
    if arguments.folder:
        os.chdir(arguments.folder)
        measure(arguments.folder, arguments.texts)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        (folder / "tasks").mkdir(parents=True, exist_ok=True)
        (folder / "tasks" / "synthetic.py").write_text(TASK, encoding="utf-8")
        os.chdir(folder)
        make_store(folder, arguments.texts)
        command = [sys.executable, str(Path(__file__).resolve()), "--texts", str(arguments.texts)]
        for what in ("all computed", "from kept metrics"):
            print(what, end=": ", flush=True)
            threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
            subprocess.run([*command, "--folder", str(folder)], check=True, env={**os.environ, **threads})
        os.chdir(Path(__file__).parent)  # the folder is removed


if __name__ == "__main__":
    main()
