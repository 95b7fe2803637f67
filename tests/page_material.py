"""What a page is made of, made up: report tables, pictures, and texts that mean harm."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from roof_tables import roof

from harness.reporting.figures import FIGURES
from harness.reporting.notes import footnotes
from harness.reporting.page.drawn import of_runs
from harness.reporting.tables import report_tables

SCRIPT = "<script>alert(1)</script>"
# Ends of script elements and comments, an attribute, a line end of JavaScript, NUL, right to left.
HOSTILE = f"{SCRIPT}</script><!--<img src=x onerror=alert(2)>\"'&amp; \u2028 \x00 \u202e {{{{ 7 * 7 }}}}"
LONG = "long " * 200
SVG = b'<svg width="324pt" height="90pt" xmlns="http://www.w3.org/2000/svg"><path d="M0 0H90V90"/></svg>'
PROBLEM = ("toy-language", "scratch:gpt2-tiny")


def material(tables: Mapping[str, pd.DataFrame], regimes: Sequence[str]) -> dict[str, Any]:
    """The arguments of `page`, from the store's tables."""
    built = {**report_tables(tables, reference=regimes[0], regimes=regimes), **roof()}
    return {
        "name": f"grid {SCRIPT}",
        "description": f"{HOSTILE} half a character: \ud800",
        "tables": built,
        "figures": {name: {"svg": SVG, "png": b"png"} for name in FIGURES},
        "texts": generations(regimes[:3]),
        "footnotes": {name: footnotes(name, table, regimes[0], [HOSTILE]) for name, table in built.items()},
        "summary": ["The inference die dominates distinct-2 per text.", HOSTILE],
        "methods": f"First part.\n\n{HOSTILE}",
        "environments": [{"torch": "2.13.0", "python": "3.11"}, {"torch": "2.12.0", "python": "3.11", "gpu": SCRIPT}],
        "drawn": of_runs(tables, regimes),
    }


def generations(regimes: Sequence[str]) -> pd.DataFrame:
    """Texts of 3 checkpoints a regime, 5 prompts and 3 settings; what was generated says where it belongs."""
    rows = []
    for regime, run, prompt, (top_k, level) in itertools.product(regimes, range(3), range(5), _rolls()):
        text = f"{regime} r{run} k{top_k} i{level} p{prompt}" if top_k != "human" else f"human p{prompt}"
        if prompt == 0:
            text = {"1": HOSTILE, "5": LONG, "all": ""}.get(top_k, text)
        rows.append(
            {
                "task": PROBLEM[0], "model": PROBLEM[1], "regime": regime, "training_replicate": run, "top_k": top_k,
                "temperature": 1.0, "top_p": 1.0, "min_p": 0.0, "inference_replicate": level, "prompt": f"hash{prompt}",
                "prompt_text": f"{LONG}end of prompt {prompt}", "text": text,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _rolls() -> list[tuple[str, int]]:
    return [("1", 0), ("human", 0), *itertools.product(("5", "all"), range(2))]
