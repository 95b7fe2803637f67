"""Random components of a block, split by fixed part: training, prompt, training x prompt, inference, and how regimes
and settings change each.

Every component is a linear combination of mean squares (harness/analysis/mean_squares.py). Intervals: generalised
pivots, every mean square's being chi-square with its effective degrees of freedom (harness/analysis/pivots.py);
Satterthwaite's where no mean square counts negatively, because the generalised interval of a sum of few degrees of
freedom is too short (it covers about 90 %).

`inference` is the sum of all components with decode; what regimes or settings change of it is in it, because how a
sampler couples its noise must not matter. It and the sum of everything are taken from the mean squares of all fixed
levels together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.fixed import Estimate
from harness.analysis.mean_squares import Fixed, Part

Floats = NDArray[np.float64]
Source = tuple[Fixed, str]
Weights = dict[Source, float]

SEED = 19560601  # a constant, so that a report is the same whenever it is built
DRAWS = 20_000
TAIL = 0.025
TRAINING, PROMPT, BOTH, INFERENCE = "training", "prompt", "training x prompt", "inference"


@dataclass(frozen=True)
class Shape:
    """What a block's random axes are.

    Attributes:
        runs, prompts, levels: their numbers.
        decode_only: the second axis holds decode levels, not prompts (unit set).
    """

    runs: int
    prompts: int
    levels: int
    decode_only: bool = False

    @property
    def decode_axis(self) -> int:
        """Where decode levels stand in [regimes, settings, training, prompts, levels]."""
        return 3 if self.decode_only else 4


def component_weights(axes: Fixed, shape: Shape) -> dict[str, Weights]:
    """What every mean square of a fixed part adds to each of its components."""
    runs, prompts, levels = shape.runs, shape.prompts, shape.levels
    t, p, tp, d, td = ((axes, name) for name in ("T", "P", "TP", "D", "TD"))
    found: dict[str, Weights] = {}
    if prompts == 1:
        return {TRAINING: {t: 1.0}}
    if shape.decode_only:
        return {
            TRAINING: {t: 1.0 / prompts, tp: -1.0 / prompts},
            INFERENCE: {p: 1.0 / runs, tp: 1.0 - 1.0 / runs},
        }
    found[TRAINING] = {t: 1.0 / (prompts * levels), tp: -1.0 / (prompts * levels)}
    found[PROMPT] = {p: 1.0 / (runs * levels), tp: -1.0 / (runs * levels)}
    found[BOTH] = {tp: 1.0 / levels}
    if levels > 1:
        found[PROMPT] |= {d: -1.0 / (runs * levels), td: 1.0 / (runs * levels)}
        found[BOTH] |= {td: -1.0 / levels}
        found[INFERENCE] = {d: 1.0 / runs, td: 1.0 - 1.0 / runs}
    return found


def added(several: Sequence[Weights]) -> Weights:
    """The sum of linear combinations."""
    total: Weights = {}
    for weights in several:
        for source, weight in weights.items():
            total[source] = total.get(source, 0.0) + weight
    return total


def estimates(several: Mapping[str, Weights], found: Sequence[Part], nothing: float) -> dict[str, Estimate]:
    """Each linear combination of the parts' mean squares with its interval.

    Args:
        several: combinations by name.
        found: the parts that the sources are of.
        nothing: a variance that is no variation but rounding; such estimates are 0, without bounds.
    """
    squares = {(part.axes, name): square for part in found for name, square in part.squares.items()}
    sources = sorted(squares)
    values = np.array([squares[source].value for source in sources])
    df = np.array([squares[source].df for source in sources])
    weights = np.array([[one.get(source, 0.0) for source in sources] for one in several.values()])
    draws = np.einsum("cs,sn->cn", weights, values[:, None] * df[:, None] / _chi_squares(df))
    low, high = np.quantile(draws, [TAIL, 1.0 - TAIL], axis=1)
    terms = weights * values
    result = {}
    for place, name in enumerate(several):
        value = float(terms[place].sum())
        if abs(terms[place]).max() <= nothing:
            result[name] = Estimate(0.0)
            continue
        freedom = value**2 / float((np.square(terms[place]) / df).sum())
        bounds = float(low[place]), float(high[place])
        if (weights[place] >= 0.0).all():
            bounds = _of_chi_square(value, freedom)
        result[name] = Estimate(value, *bounds, freedom)
    return result


def _of_chi_square(value: float, df: float) -> tuple[float, float]:
    """Satterthwaite's interval: a sum of mean squares is near to a chi-square with `df` degrees of freedom."""
    from scipy.stats import chi2

    low, high = chi2.ppf([1.0 - TAIL, TAIL], df)
    return value * df / float(low), value * df / float(high)


def _chi_squares(df: Floats) -> Floats:
    """Pivots of every mean square, shape (mean squares, draws)."""
    generator = np.random.Generator(np.random.PCG64(SEED))
    return np.array([generator.chisquare(degrees, DRAWS) for degrees in df])
