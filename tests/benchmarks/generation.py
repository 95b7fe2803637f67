"""The generation grid against a loop of `model.generate` over (k, seed): `python tests/benchmarks/generation.py`.

Random weights, equal prompts and lengths, no end-of-text token; all sides run in turns. The loop has torch's default
threads, twodice one thread per worker (what makes its texts independent of the batch), so a machine's second core
works on a second checkpoint: hence a line for one pass alone and one for two workers. The loop draws greedy again for
each seed, as a plain loop does; in brackets, against a loop that draws it once.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from harness.inference.cells import FIXED_ROWS
from harness.inference.engine import generate
from harness.request import Prompt, Setting
from harness.spec.presets import PRESETS


@dataclass(frozen=True)
class Shape:
    """One comparison."""

    name: str
    config: dict[str, Any]
    top_k: tuple[int | None, ...]
    seeds: int
    prompts: int
    prompt_tokens: int
    new_tokens: int


SHAPES = {
    "quick": Shape(
        "the quick grid: 2 layers, 64 wide, V=400",
        replace(PRESETS["gpt2-tiny"], width=64).config(400),
        (1, 5, 20, None),
        seeds=3,
        prompts=16,
        prompt_tokens=8,
        new_tokens=24,
    ),
    "wide": Shape(
        "4 layers, 256 wide, V=50257",
        {"n_layer": 4, "n_embd": 256, "n_head": 4, "vocab_size": 50257, "n_positions": 64},
        (1, 5, 10, 20, 40, 100, 200, None),
        seeds=4,
        prompts=8,
        prompt_tokens=16,
        new_tokens=32,
    ),
    "gpt2-small": Shape(
        "GPT-2 small: 12 layers, 768 wide, V=50257",
        {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 64},
        (1, 2, 5, 10, 20, 40, 100, None),
        seeds=5,
        prompts=8,
        prompt_tokens=16,
        new_tokens=32,
    ),
}
WORKERS = 2
_WORKER: dict[str, tuple[Any, torch.Tensor]] = {}


def random_model(shape: Shape) -> Any:
    """A model with random weights that no token ends."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(**shape.config, bos_token_id=0, eos_token_id=0)).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def random_prompts(shape: Shape) -> torch.Tensor:
    """Token ids [prompts, prompt_tokens]."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(shape.config["vocab_size"], (shape.prompts, shape.prompt_tokens), generator=generator)


def ours(model: Any, prompts: torch.Tensor, shape: Shape) -> float:
    """Seconds for the whole grid in one pass: one thread, or a GPU, where every forward has FIXED_ROWS rows."""
    asked = [Prompt("", tuple(row)) for row in prompts.tolist()]
    settings = [Setting(k) for k in shape.top_k]
    fixed = FIXED_ROWS if prompts.is_cuda else None
    limits: dict[str, Any] = {"max_new_tokens": shape.new_tokens, "eos_token_id": None, "fixed_rows": fixed}
    start = time.perf_counter()
    generate(model, asked, settings, range(shape.seeds), seed=1, **limits)
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
            ).tolist()  # waits for a GPU
            seconds = time.perf_counter() - start
            total += seconds
            again += seconds if k == 1 and seed else 0.0
    return total, again


def ours_or_loop(which: str, shape: Shape) -> None:
    """One grid in a worker process with one thread; the model and prompts are made once."""
    if shape.name not in _WORKER:
        torch.set_num_threads(1)
        logging.getLogger("transformers").setLevel(logging.ERROR)
        _WORKER[shape.name] = (random_model(shape), random_prompts(shape))
    (ours if which == "ours" else loop)(*_WORKER[shape.name], shape)


def two_at_once(pool: ProcessPoolExecutor, which: str, shape: Shape) -> float:
    """Seconds per checkpoint when two are worked on at once, each by one worker with one thread."""
    start = time.perf_counter()
    for done in [pool.submit(ours_or_loop, which, shape) for _ in range(WORKERS)]:
        done.result()
    return (time.perf_counter() - start) / WORKERS


def compare(shape: Shape, repeats: int, threads: int, pool: ProcessPoolExecutor) -> str:
    """Medians of interleaved runs and their ratios, as lines."""
    model, prompts = random_model(shape), random_prompts(shape)
    rounds = []
    for _ in range(repeats):
        torch.set_num_threads(1)
        one_pass = ours(model, prompts, shape)
        torch.set_num_threads(threads)
        whole, again = loop(model, prompts, shape)
        rounds.append(
            (one_pass, whole, whole - again, *(two_at_once(pool, which, shape) for which in ("ours", "loop")))
        )
    one_pass, whole, once, workers, loops = map(statistics.median, zip(*rounds, strict=True))
    lines = [
        shape.name,
        f"  loop, {threads} threads                  {whole:7.3f} s   (greedy once: {once:7.3f} s)",
        f"  twodice, one pass, 1 thread      {_against(one_pass, whole, once)}",
        f"  twodice, {WORKERS} workers, each grid    {_against(workers, whole, once)}",
        f"  {WORKERS} loops of 1 thread, each grid  {loops:7.3f} s   ({loops / workers:.2f} x the workers' time)",
    ]
    return "\n".join(lines)


def compare_on_gpu(shape: Shape, repeats: int) -> str:
    """The same on a GPU: one pass against the loop."""
    if not torch.cuda.is_available():
        return f"{shape.name}, on a GPU: skipped, there is none"
    model, prompts = random_model(shape).cuda(), random_prompts(shape).cuda()
    ours(model, prompts, shape), loop(model, prompts, shape)  # warms up
    rounds = [(ours(model, prompts, shape), *loop(model, prompts, shape)) for _ in range(repeats)]
    one_pass, whole, again = map(statistics.median, zip(*rounds, strict=True))
    return (
        f"{shape.name}, on {torch.cuda.get_device_name()}\n"
        f"  loop                             {whole:7.3f} s   (greedy once: {whole - again:7.3f} s)\n"
        f"  twodice, one pass                {_against(one_pass, whole, whole - again)}"
    )


def _against(seconds: float, whole: float, once: float) -> str:
    return f"{seconds:7.3f} s   {whole / seconds:5.2f} x faster   (greedy once: {once / seconds:5.2f} x)"


def warm_up(pool: ProcessPoolExecutor, shape: Shape) -> None:
    """Imports, models and first runs, which belong to no measurement."""
    short = replace(shape, top_k=(5,), seeds=1)
    compare(short, 1, torch.get_num_threads(), pool)
    two_at_once(pool, "ours", short)


def main() -> None:
    """Prints the comparison of each shape. A round takes some seconds, a minute, or six minutes at gpt2-small."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="rounds of the quick shape; gpt2-small: one for seven")
    every = [*SHAPES, "gpu"]
    parser.add_argument("--shapes", nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    threads = torch.get_num_threads()
    print(f"seconds for one checkpoint's grid, medians of interleaved runs, {threads} cores")
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for name in arguments.shapes:
            repeats = max(1, arguments.repeats // {"quick": 1, "gpt2-small": 7}.get(name, 3))
            if name == "gpu":
                print(compare_on_gpu(SHAPES["gpt2-small"], repeats), flush=True)
                continue
            warm_up(pool, SHAPES[name])
            print(compare(SHAPES[name], repeats, threads, pool), flush=True)


if __name__ == "__main__":
    main()
