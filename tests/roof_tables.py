"""Report tables of the roof, made up: what readable forms, figures, methods and summary are tested with.

Seeded. Numbers are plausible and carry no meaning; columns are those that harness/analysis gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

NINE = ("none", "weight-decay", "standard-0.1", "standard-0.3", "dynamic-linear", "early-0.3", "late-0.3")
NINE += ("residual-0.02", "drophead-0.2")
TEXTS = ("toy-language@100", "scratch:gpt2-tiny"), ("toy-language", "scratch:gpt2-tiny")
PROBLEMS = ("toy-sentiment@100", "scratch:bert-tiny"), ("toy-sentiment", "scratch:bert-tiny"), *TEXTS
TOP_K = ("1", "2", "5", "20", "all")
TEXT_METRICS = {"distinct-2": "text", "seq-rep-4": "text", "repetition-loop": "text", "nll": "text", "zipf": "set"}
TEXT_METRICS |= {"replicate-distinctness": "prompt", "self-bleu-4": "set", "grammatical": "text", "length": "text"}
NO_SETTING = {"top_k": "", "temperature": np.nan, "top_p": np.nan, "min_p": np.nan}
N, PROMPTS, DECODE = 8, 24, 4
Row = dict[str, Any]


def roof(regimes: Sequence[str] = NINE, problems: Sequence[tuple[str, str]] = PROBLEMS) -> dict[str, pd.DataFrame]:
    """The tables randomness, contrasts, effects, seeds, claims and comparisons."""
    made = (randomness, contrasts, effects, seeds, claims, comparisons)
    return {make.__name__: pd.DataFrame(list(make(np.random.default_rng(5), regimes, problems))) for make in made}


def setting(top_k: str) -> Row:
    return {"top_k": top_k, "temperature": 1.0, "top_p": 1.0, "min_p": 0.0}


def arms(regimes: Sequence[str], problems: Sequence[tuple[str, str]]) -> Iterator[tuple[Row, str, bool]]:
    """Every arm and metric: its columns, its unit, and whether it has texts."""
    for task, model in problems:
        for regime in regimes:
            own = {"task": task, "model": model, "regime": regime}
            for metric in ("loss", "perplexity" if "language" in task else "accuracy"):
                unit = "split" if metric == "perplexity" else "example"
                yield {**own, "split": "test", **NO_SETTING, "metric": metric, "unit": unit}, unit, False
            for metric, unit in TEXT_METRICS.items() if (task, model) in TEXTS else ():
                for top_k in TOP_K:
                    if not (top_k == "1" and metric == "replicate-distinctness"):
                        yield {**own, "split": "", **setting(top_k), "metric": metric, "unit": unit}, unit, True


def randomness(rng: np.random.Generator, regimes: Sequence[str], problems: Any) -> Iterator[Row]:
    for own, unit, texts in arms(regimes, problems):
        greedy, parts = own["top_k"] == "1", {"training": rng.uniform(-0.005, 0.05)}
        if unit in ("text", "example", "prompt"):
            parts |= {"prompt": rng.uniform(0.1, 0.4), "training x prompt": rng.uniform(0, 0.1)}
        parts |= {"inference": 0.0 if greedy or not texts else rng.uniform(0.2, 0.6)}
        counts = {"n_training": N, "n_prompts": PROMPTS if len(parts) > 2 else 1, "n_inference": DECODE if texts else 1}
        yield from components(own, parts, counts, "text" if unit == "text" else unit)


def components(own: Row, parts: dict[str, float], counts: Row, unit: str) -> Iterator[Row]:
    """The heads of one arm, their total and, for texts, the sub-components."""
    scores = {name: value / (1 if name == "training" else counts["n_prompts"]) for name, value in parts.items()}
    totals = (sum(parts.values()), sum(scores.values()))
    every = {**parts, "total": totals[0], "noise floor": 0.0}
    if unit == "text":
        every |= {"decode x prompt": 0.4 * parts["inference"], "training x decode x prompt": 0.6 * parts["inference"]}
    for name, value in every.items():
        fixed = name == "inference" and value == 0.0
        note = "zero by construction: nothing is sampled" if fixed else ""
        note = "identical-seed repeats were equal" if name == "noise floor" else note
        low, high = (np.nan, np.nan) if fixed or name == "noise floor" else (value - 0.4 * abs(value), 2.5 * abs(value))
        score = scores.get(name, totals[1] if name == "total" else value / counts["n_prompts"])
        ratio = np.nan if name == "noise floor" else 1.0
        factor = score / value if value else 0.0
        yield {
            **own, "component": name, "head": "decode x" not in name, **counts, "variance": value,
            "ci_low": low, "ci_high": high, "truncated": max(0.0, value),
            "share": ratio * value / totals[0], "share_low": low / totals[0], "share_high": min(1, high / totals[0]),
            "df": 7.0, "score_variance": score, "score_low": low * factor, "score_high": high * factor,
            "score_share": ratio * score / totals[1], "score_share_low": low * factor / totals[1],
            "score_share_high": min(1.0, high * factor / totals[1]), "design": "joint", "method": "moments",
            "note": note,
        }  # fmt: skip


def contrasts(rng: np.random.Generator, regimes: Sequence[str], problems: Any) -> Iterator[Row]:
    for own, _, texts in arms(regimes, problems):
        base = {**own, "reference": regimes[0], "reference_setting": "", "n": N, "n_prompts": PROMPTS}
        if own["regime"] != regimes[0]:
            yield {"family": "regimes", **base, **difference(rng, 0.02), "family_size": len(regimes) - 1}
        if texts and own["top_k"] != "all":
            step = {"reference": "", "reference_setting": "k=all"}
            yield {"family": "settings", **base, **step, **difference(rng, 0.3), "family_size": len(TOP_K) - 1}


def difference(rng: np.random.Generator, size: float) -> Row:
    value, half = size * rng.normal(), 0.01 + 0.02 * rng.random()
    p = float(np.exp(-abs(value) / half))
    return {
        "mean": 0.5 + value, "reference_mean": 0.5, "difference": value, "ci_low": value - half,
        "ci_high": value + half, "df": 7.0, "correlation": 0.4, "t": 2.2 * value / half, "p": p,
        "p_adjusted": min(1.0, 4 * p), "better": 0.75, "better_low": 0.35, "better_high": 0.97, "reading": "",
        "sign_flip_p": 0.0078, "sign_flip_smallest": 0.0078, "pairing": "training replicate",
        "note": "", "direction": "lower",
    }  # fmt: skip


def effects(rng: np.random.Generator, regimes: Sequence[str], problems: Any) -> Iterator[Row]:
    seen = set()
    for own, unit, texts in arms(regimes, problems):
        key = own["task"], own["model"], own["metric"]
        if key in seen:
            continue
        seen.add(key)
        names = {"regime": 0.01, "top_k": 0.2, "regime x top_k": 0.002} if texts else {"regime": 0.01}
        for name, size in {**names, "training": 0.02, "prompt": 0.1, "inference": 0.4}.items():
            value, fixed = size * rng.uniform(-0.2 if "x" in name else 0.5, 2), name in names
            contrast = 2 * float(np.sqrt(abs(value))) if fixed else np.nan
            yield {
                "task": key[0], "model": key[1], "split": own["split"], "metric": key[2], "unit": unit, "effect": name,
                "kind": "fixed" if fixed else "random", "variance": value, "ci_low": value / 2, "ci_high": 3 * value,
                "df": 7.0, "sd": float(np.sqrt(max(0.0, value))), "share": value / 0.7, "contrast": contrast,
                "contrast_low": contrast * 0.8, "contrast_high": contrast * 1.2,
                "contrast_what": f"{regimes[-1]} - {regimes[0]}" if fixed else "",
                "range": f"k 1 to all; {len(regimes)} regimes", "n": N, "note": "",
            }  # fmt: skip


def seeds(rng: np.random.Generator, regimes: Sequence[str], problems: Any) -> Iterator[Row]:
    for task, model in problems:
        for metric, unit in (("loss", "split"), ("distinct-2", "text")):
            if metric == "loss" or (task, model) in TEXTS:
                yield {
                    "task": task, "model": model, "split": "test" if metric == "loss" else "", "metric": metric,
                    "unit": unit, "comparison": f"{regimes[1]} - {regimes[0]}", "n": N, "df": 7.0,
                    "sd_of_difference": 0.02 + 0.01 * rng.random(), "resolvable": 0.031, "wanted": 0.0155,
                    "needed_training": 23, "needed_prompts": 24 if unit == "text" else np.nan,
                    "needed_inference": 4 if unit == "text" else np.nan, "smallest_p": 0.0078, "note": "",
                }  # fmt: skip


def claims(rng: np.random.Generator, regimes: Sequence[str], problems: Any) -> Iterator[Row]:
    verdicts = ("supported", "not supported", "undecided", "not applicable")
    for task, model in problems:
        for place, verdict in enumerate(verdicts):
            yield {
                "claim": f"claim-{place}", "statement": f"Statement {place}: A & <b>B</b> differ", "task": task,
                "model": model, "kind": "claim", "metric": "loss", "estimate": -0.05 + 0.01 * rng.random(),
                "ci_low": -0.08, "ci_high": -0.01, "margin": 0.01, "p": 0.01, "p_adjusted": 0.04, "verdict": verdict,
                "n": N, "more_replicates": 12 if verdict == "undecided" else np.nan, "what": "standard-0.1 - none",
                "note": "",
            }  # fmt: skip
        yield {
            "claim": "dropout-off", "statement": "Dropout is off at inference", "task": task, "model": model,
            "kind": "by construction", "metric": "", "verdict": "supported", "n": N, "what": "2 repeats", "note": "",
        }  # fmt: skip


def comparisons(rng: np.random.Generator, regimes: Sequence[str], problems: Any) -> Iterator[Row]:
    for task, model in problems:
        for regime in regimes[1:]:
            for estimator in ("multi-bootstrap", "IQM"):
                value = 0.02 * rng.normal()
                yield {
                    "task": task, "model": model, "split": "test", "metric": "loss", "regime": regime,
                    "reference": regimes[0], "estimator": estimator, "estimate": value, "low": value - 0.01,
                    "high": value + 0.01, "n": N, "note": "",
                }  # fmt: skip
