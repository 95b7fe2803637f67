"""How a design's size decides the error of a mean difference, and the cheapest design.

Var(mean) = T/R + P/P' + TP/(R P') + DP/(S P') + TDP/(R S P') for R training replicates, P' prompts and S inference
replicates, with the components of the differences, at cost R c_train + R S P' c_gen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.mean_squares import MeanSquare

# No search goes further: beyond it a design is not a wish but a mistake.
MOST_RUNS = 500
MOST_LEVELS = 200
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """Variance components, none below 0, in the metric's squared unit.

    Attributes:
        training, prompt, both: of runs, prompts and their products.
        decode: of decode levels within prompts, common to all runs.
        own: of decode levels within prompts and runs.
    """

    training: float
    prompt: float = 0.0
    both: float = 0.0
    decode: float = 0.0
    own: float = 0.0

    def error(self, size: Size) -> tuple[float, float]:
        """Variance of the mean over a design of this size, and its degrees of freedom (Satterthwaite 1946).

        The degrees are never fewer than those of the axis with the fewest levels. NaN with one run, which tells
        nothing of the others.
        """
        runs, prompts, levels = size.runs, size.prompts, size.levels
        if runs < 2:
            return math.nan, math.nan
        both = self.own + levels * self.both
        training = both + prompts * levels * self.training
        if prompts < 2:
            return training / (runs * levels), runs - 1.0
        prompt = both + runs * self.decode + runs * levels * self.prompt
        total = training + prompt - both
        spread = training**2 / (runs - 1) + prompt**2 / (prompts - 1) + both**2 / ((runs - 1) * (prompts - 1))
        df = total**2 / spread if spread > 0.0 else math.nan
        return total / (runs * prompts * levels), max(df, min(runs, prompts) - 1.0)


@dataclass(frozen=True)
class Size:
    """Training replicates, prompts, inference replicates."""

    runs: int
    prompts: int = 1
    levels: int = 1


@dataclass(frozen=True)
class Costs:
    """Seconds of one training run and of one generated text."""

    training: float
    text: float

    def of(self, size: Size) -> float:
        """Seconds of one arm of this size."""
        return size.runs * self.training + size.runs * size.levels * size.prompts * self.text


def components_of(squares: dict[str, MeanSquare], size: Size) -> Components:
    """Components from the mean squares of one score a cell, negative estimates set to 0."""
    runs, prompts, levels = size.runs, size.prompts, size.levels
    t, p, both, common, own = (squares[name].value if name in squares else 0.0 for name in ("T", "P", "TP", "D", "TD"))
    if prompts < 2:
        return Components(t)
    return Components(
        max((t - both) / (prompts * levels), 0.0),
        max((p - both - common + own) / (runs * levels), 0.0),
        max((both - own) / levels, 0.0),
        max((common - own) / runs, 0.0),
        own,
    )


def cheapest(parts: Components, costs: Costs, variance: float | Floats, most_prompts: int) -> Size | None:
    """The cheapest design whose mean has at most this variance; None where no design within the limits has.

    Searched over all integers up to MOST_RUNS runs, MOST_LEVELS levels and `most_prompts` prompts. Of equally cheap
    ones the one with fewest runs, then fewest levels.

    Args:
        parts: components of what is averaged.
        costs: of one arm.
        variance: wanted; one number, or one for each number of runs from 2 to MOST_RUNS.
        most_prompts: that there are.
    """
    runs, levels = _grid()
    rest = np.reshape(variance, (-1, 1)) - parts.training / runs
    over = _per_prompt(parts, runs, levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        prompts = np.maximum(np.ceil(over / rest - 1e-9), 1.0)
    possible = ((rest > 0.0) | ((rest >= 0.0) & (over == 0.0))) & (prompts <= most_prompts)
    price = np.where(possible, runs * costs.training + runs * levels * prompts * costs.text, math.inf)
    return _chosen(price, np.nan_to_num(prompts, nan=1.0))


def best(
    parts: Components, costs: Costs, budget: float, most_prompts: int, weight: float | Floats = 1.0
) -> Size | None:
    """The design with the smallest variance of its mean that costs at most `budget` seconds; None where none does.

    Args:
        parts, costs, most_prompts: as of `cheapest`; a text must cost something.
        budget: seconds of one arm.
        weight: what a variance counts; one number, or one for each number of runs from 2 to MOST_RUNS.
    """
    runs, levels = _grid()
    prompts = np.floor((budget - runs * costs.training) / (runs * levels * costs.text) + 1e-9)
    prompts = np.minimum(prompts, most_prompts)
    variance = parts.training / runs + _per_prompt(parts, runs, levels) / np.maximum(prompts, 1.0)
    return _chosen(np.where(prompts >= 1.0, variance * np.reshape(weight, (-1, 1)), math.inf), prompts)


def _grid() -> tuple[Floats, Floats]:
    """Runs down, levels across; one run estimates no error, so the search starts at two."""
    return np.arange(2.0, MOST_RUNS + 1)[:, None], np.arange(1.0, MOST_LEVELS + 1)[None, :]


def _per_prompt(parts: Components, runs: Floats, levels: Floats) -> Floats:
    return parts.prompt + parts.both / runs + parts.decode / levels + parts.own / (runs * levels)


def _chosen(value: Floats, prompts: Floats) -> Size | None:
    place = np.unravel_index(int(np.argmin(value)), value.shape)
    if not math.isfinite(value[place]):
        return None
    return Size(int(place[0]) + 2, int(prompts[place]), int(place[1]) + 1)
