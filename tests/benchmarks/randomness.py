"""Variance components with intervals of large tables: `python tests/benchmarks/randomness.py`.

One crossed table of 5 x 5 x 5 runs x 8 prompts x 100 replicates (wanted: 20 s), and 400 arms of 3 runs x 100 prompts x
8 replicates, complete and with a tenth of the values missing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "analysis"))

import numpy as np
from simulator import Floats, block_of, drawn, shape_of, study_of_blocks

from harness.analysis.blocks import Block
from harness.analysis.randomness import randomness

TEXT = {"prompt": 0.1, "decode x prompt": 0.4}


def timed(name: str, block: Block) -> None:
    start = time.perf_counter()
    rows = len(randomness(study_of_blocks([block])))
    print(f"{name}: {block.values.size:,} values, {rows} rows of the table, {time.perf_counter() - start:.2f} s")


def crossed() -> Block:
    shape = shape_of(training={"init": 5, "order": 5, "mask": 5}, prompts=8, decode=100)
    variances = {**TEXT, "init": 0.2, "order x mask": 0.1, "init x order x mask x decode x prompt": 0.6}
    return block_of(drawn(shape, variances, np.random.default_rng(1))[0], ("init", "order", "mask"))


def arms() -> Floats:
    shape = shape_of(training=3, prompts=100, decode=8, regimes=40, settings=10)
    variances = {**TEXT, "training": 0.05, "regime x setting x training x decode x prompt": 0.6}
    return drawn(shape, variances, np.random.default_rng(2))[0]


def main() -> None:
    """Prints the times."""
    timed("crossed 5 x 5 x 5 x 8 x 100", crossed())
    values = arms()
    timed("400 arms, complete", block_of(values))
    missing = np.random.default_rng(3).random(values.shape) < 0.1
    missing[..., 0] = False
    timed("400 arms, a tenth missing", block_of(np.where(missing, np.nan, values)))


if __name__ == "__main__":
    main()
