"""What a text metric is, and the three units that one can have.

`text`: a number for each generated text. `set`: one for all prompts' texts of one setting and replicate. `prompt`: one
for the replicates of one prompt at one setting. The unit decides what a variance over it means, so it is always named.

A text too short for a metric gets NaN, not a 0 that looks like a finding; each metric's docstring says when.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from harness.errors import CellError

Unit = Literal["text", "set", "prompt"]
Function = TypeVar("Function", bound=Callable[[Any], float])


@dataclass(frozen=True)
class Text:
    """A text as metrics see it. What is None or empty is not known; metrics that need it are NaN then.

    Attributes:
        token_ids: its tokens, without prompt and end-of-text token.
        logprobs: under the generating model at temperature 1, in nats, one per drawn token, the end-of-text token
            included when one was drawn; of a human text, under the model of the cell that it stands in.
        base_logprobs: the same under the model that fine-tuning began with.
        evaluator_logprobs: in nats, one per token of the evaluator model's own tokenizer.
        string: the text itself, special tokens left out.
        references: human texts for the same prompt; of a human text, the others.
        vocabulary: number of token ids that the model knows.
        copied: tokens of the longest span that stands in the training texts, too.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None = None
    base_logprobs: tuple[float, ...] | None = None
    evaluator_logprobs: tuple[float, ...] | None = None
    string: str = ""
    references: tuple[str, ...] = ()
    vocabulary: int | None = None
    copied: int | None = None


@dataclass(frozen=True)
class TextMetric:
    """A registered metric. `function` takes a Text (unit text) or a sequence of them (set, prompt)."""

    name: str
    unit: Unit
    source: str
    description: str
    function: Callable[[Any], float]


METRICS: dict[str, TextMetric] = {}


def text_metric(name: str, *, unit: Unit, source: str, description: str) -> Callable[[Function], Function]:
    """Registers a function as the metric `name`.

    Args:
        unit: what the function gets: one Text, or a sequence of them.
        source: paper that defines it (authors, year, id).
        description: what it is, its scale and unit, in one line; `twodice list metrics` prints it.

    Raises:
        ValueError: the name is taken or the unit is unknown.
    """
    if name in METRICS or unit not in get_args(Unit):
        raise ValueError(
            f"text metric {name!r} is already registered, or its unit {unit!r} is none of {get_args(Unit)}"
        )

    def register(function: Function) -> Function:
        METRICS[name] = TextMetric(name, unit, source, description, function)
        return function

    return register


def _of(unit: Unit) -> list[TextMetric]:
    return [metric for _, metric in sorted(METRICS.items()) if metric.unit == unit]


def _value(metric: TextMetric, argument: Any) -> float:
    """One value of a metric.

    Raises:
        CellError: the metric fails, or gives what is no number or infinite (NaN means not defined).
    """
    try:
        value = float(metric.function(argument))
    except Exception as error:
        raise CellError(f"text metric {metric.name}: {type(error).__name__}: {error}") from error
    if math.isinf(value):
        raise CellError(f"text metric {metric.name}: gives {value}; what is not defined must be NaN")
    return value


def text_metrics(texts: Sequence[Text]) -> dict[str, NDArray[np.float64]]:
    """Every metric of unit text: float64 [number of texts] by name."""
    return {metric.name: np.array([_value(metric, text) for text in texts], dtype=float) for metric in _of("text")}


def set_metrics(texts: Sequence[Text]) -> dict[str, float]:
    """Every metric of unit set, of all prompts' texts of one setting and replicate."""
    return {metric.name: _value(metric, texts) for metric in _of("set")}


def prompt_metrics(texts: Sequence[Text]) -> dict[str, float]:
    """Every metric of unit prompt, of the replicates of one prompt at one setting."""
    return {metric.name: _value(metric, texts) for metric in _of("prompt")}
