"""The generation grid against a loop of `model.generate` over (k, seed): `python tests/benchmarks/generation.py`.

Random weights, equal prompts and lengths, no end-of-text token. Both sides run in this process in turns; the loop has
torch's default threads, twodice one thread (what its workers have). The loop draws greedy again for each seed, as the
plain loop does; the second ratio is against a loop that draws greedy once.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from harness.inference.engine import generate
from harness.inference.request import Prompt, Setting


@dataclass(frozen=True)
class Shape:
    """One comparison."""

    name: str
    config: dict[str, int]
    top_k: tuple[int | None, ...]
    seeds: int
    prompts: int
    prompt_tokens: int
    new_tokens: int


SHAPES = (
    Shape(
        "quick: 2 layers, 128 wide, V=300",
        {"n_layer": 2, "n_embd": 128, "n_head": 4, "vocab_size": 300, "n_positions": 64},
        (1, 5, 20, None),
        seeds=3,
        prompts=20,
        prompt_tokens=12,
        new_tokens=24,
    ),
    Shape(
        "4 layers, 256 wide, V=50257",
        {"n_layer": 4, "n_embd": 256, "n_head": 4, "vocab_size": 50257, "n_positions": 64},
        (1, 5, 10, 20, 40, 100, 200, None),
        seeds=4,
        prompts=8,
        prompt_tokens=16,
        new_tokens=32,
    ),
)


def random_model(shape: Shape) -> Any:
    """A model with random weights that no token ends."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**shape.config, bos_token_id=0, eos_token_id=0)).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def ours(model: Any, prompts: torch.Tensor, shape: Shape) -> float:
    """Seconds for the whole grid in one pass, one thread."""
    asked = [Prompt("", tuple(row)) for row in prompts.tolist()]
    settings = [Setting(k) for k in shape.top_k]
    start = time.perf_counter()
    generate(model, asked, settings, range(shape.seeds), seed=1, max_new_tokens=shape.new_tokens, eos_token_id=None)
    return time.perf_counter() - start


def loop(model: Any, prompts: torch.Tensor, shape: Shape) -> tuple[float, float]:
    """Seconds for the loop, and the part of it that draws greedy more than once."""
    total = again = 0.0
    for k in shape.top_k:
        for seed in range(shape.seeds):
            torch.manual_seed(seed)
            start = time.perf_counter()
            model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                do_sample=True,
                top_k=k or 0,
                max_new_tokens=shape.new_tokens,
            )
            seconds = time.perf_counter() - start
            total += seconds
            again += seconds if k == 1 and seed else 0.0
    return total, again


def compare(shape: Shape, repeats: int, threads: int) -> str:
    """One line: medians of interleaved runs and their ratio."""
    model = random_model(shape)
    prompts = torch.randint(shape.config["vocab_size"], (shape.prompts, shape.prompt_tokens))
    one_pass, loops, loops_greedy_once = [], [], []
    for repeat in range(repeats + 1):
        torch.set_num_threads(1)
        seconds = ours(model, prompts, shape)
        torch.set_num_threads(threads)
        total, again = loop(model, prompts, shape)
        if repeat:  # the first round only warms up
            one_pass.append(seconds)
            loops.append(total)
            loops_greedy_once.append(total - again)
    mine, theirs, fair = (statistics.median(times) for times in (one_pass, loops, loops_greedy_once))
    return (
        f"{shape.name:34s} twodice {mine:7.3f} s   loop {theirs:7.3f} s   ratio {theirs / mine:5.2f}   "
        f"(greedy once {fair:7.3f} s, ratio {fair / mine:5.2f})"
    )


def main() -> None:
    """Prints one line per shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    logging.getLogger("transformers").setLevel(logging.ERROR)
    threads = torch.get_num_threads()
    print(f"medians of {repeats} interleaved runs; twodice on 1 thread, the loop on {threads}")
    for shape in SHAPES:
        print(compare(shape, repeats, threads), flush=True)


if __name__ == "__main__":
    main()
