"""Perplexity under other models, and memorisation, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from harness.inference.metrics import Text, set_metrics, text_metrics

FIELDS = {
    "base-perplexity": "base_logprobs",
    "evaluator-perplexity": "evaluator_logprobs",
    "perplexity": "logprobs",
}
# Three models that disagree: a metric that reads the wrong one is seen.
TEXT = Text(
    (1, 2),
    logprobs=(math.log(0.5), math.log(0.125), math.log(0.5)),
    base_logprobs=(math.log(0.2), math.log(0.05), math.log(0.1)),
    evaluator_logprobs=(math.log(0.01),),
)
PERPLEXITY = {"perplexity": 2 ** (5 / 3), "base-perplexity": 10, "evaluator-perplexity": 100}


def scored(text: Text, name: str, logprobs: tuple[float, ...] | None) -> Text:
    field: dict[str, Any] = {FIELDS[name]: logprobs}
    return replace(text, **field)


@pytest.mark.parametrize("name", FIELDS)
def test_perplexity_of_a_text_under_each_model(name: str) -> None:
    assert text_metrics([TEXT])[name][0] == pytest.approx(PERPLEXITY[name])
    for unknown in (None, ()):
        assert math.isnan(text_metrics([scored(TEXT, name, unknown)])[name][0])


@pytest.mark.parametrize("name", FIELDS)
def test_perplexity_of_a_set_counts_tokens(name: str) -> None:
    half = scored(Text((1,) * 5), name, (math.log(0.5),) * 5)
    tokens = len(getattr(TEXT, FIELDS[name]))
    expected = (PERPLEXITY[name] ** tokens * 2**5) ** (1 / (tokens + 5))
    assert set_metrics([TEXT, half])[f"{name}-set"] == pytest.approx(expected)
    assert set_metrics([TEXT, scored(half, name, ())])[f"{name}-set"] == pytest.approx(PERPLEXITY[name])
    assert math.isnan(set_metrics([TEXT, Text((1,))])[f"{name}-set"])
    assert math.isnan(set_metrics([])[f"{name}-set"])


def test_copied_span_and_share() -> None:
    values = text_metrics([Text((1, 2, 3, 4), copied=3), Text((1, 2), copied=0), Text((1, 2)), Text((), copied=0)])
    assert values["copied-span"].tolist() == pytest.approx([3, 0, math.nan, 0], nan_ok=True)
    assert values["copied-share"].tolist() == pytest.approx([3 / 4, 0, math.nan, math.nan], nan_ok=True)
