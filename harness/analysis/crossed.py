"""Variance components of balanced tables of training x prompt x decode, many tables at once, with intervals.

The model is fully random: a value is the grand mean plus an independent draw for every level of every term. Training
is one axis (joint) or one for each role (crossed). A decode replicate has its own noise for every prompt, so decode is
nested in prompt: there is no term with decode and without prompt.

The expected mean square of a term is the sum over all terms that contain it of n * sigma2, n being the number of
values at one combination of a term's levels (Searle, Casella and McCulloch 1992, Variance Components, chapter 4).
Solved for sigma2, every component is a difference of mean squares, negative ones included.

A mean square whose values are texts is not chi-square: texts have heavy tails, and prompts differ in their variance. A
mean square that is a mean over prompts therefore gets the degrees of freedom that its spread between prompts tells,
never more than the nominal ones: 2 MS^2 / Var(MS), Satterthwaite's definition (1946, Biometrics Bulletin 2:110). Those
with decode depend on each other, because a prompt whose texts vary much does so in all of them: their degrees of
freedom are divided alike, so that their sum, the inference die, has what its own spread between prompts and between
runs tells.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Relative: values that differ by less are equal.
EQUAL = 1e-12
Floats = npt.NDArray[np.float64]
Term = frozenset[int]


@dataclass(frozen=True)
class Layout:
    """What the axes of a table are: the training axes, then prompt, then decode, where it has them."""

    training: int
    prompt: bool
    decode: bool

    @property
    def prompt_axis(self) -> int:
        """The number of the prompt axis; -1 where there is none."""
        return self.training if self.prompt else -1

    @property
    def decode_axis(self) -> int:
        """The number of the decode axis; -1 where there is none."""
        return self.training + self.prompt if self.decode else -1

    def terms(self) -> list[Term]:
        """Every term of the model: main effects first, the residual last."""
        count = self.training + self.prompt + self.decode
        every = [set(some) for size in range(1, count + 1) for some in itertools.combinations(range(count), size)]
        nested = {self.decode_axis} if self.prompt and self.decode else set()
        return [frozenset(term) for term in every if not (nested & term and self.prompt_axis not in term)]


@dataclass(frozen=True)
class Squares:
    """Mean squares of many tables and the weights that make components of them.

    Attributes:
        mean: [tables, terms].
        df: [tables, terms]; degrees of freedom, effective ones for mean squares over prompts.
        weights: [components, terms], or [tables, components, terms] where the tables differ; components in the same
            order as terms.
    """

    mean: Floats
    df: Floats
    weights: Floats


def squares(values: Floats, layout: Layout) -> Squares:
    """Mean squares of tables of one shape.

    Args:
        values: [tables, *axes of the layout], every axis with two levels or more, no NaN.
        layout: what the axes are.
    """
    moved = values - values.reshape(len(values), -1)[:, 0].reshape(-1, *[1] * (values.ndim - 1))
    terms, rows = layout.terms(), weights(values.shape[1:], layout)
    found = [_parts(moved, term, layout) for term in terms]
    df = np.array([degrees for _, degrees in found], dtype=float)
    mean = np.stack([parts.sum(axis=1) for parts, _ in found], axis=1) / df
    mean[mean <= np.square(EQUAL * np.abs(values).reshape(len(values), -1).max(axis=1))[:, None]] = 0.0
    divided = np.ones_like(mean)
    for group in _over_prompts(terms, layout):
        several = np.stack([found[place][0] for place in group], axis=1)
        within = _within(moved, layout) if layout.decode_axis in terms[group[0]] else None
        divided[:, group] = excess(several, df[group], rows[group].sum(axis=0)[group], within)[:, None]
    return Squares(mean, np.maximum(df / divided, 1.0), rows)


def _within(values: Floats, layout: Layout) -> Floats | None:
    """The variance over decode levels of every run and prompt [tables, runs, prompts]; None for one run."""
    return values.reshape(len(values), -1, *values.shape[-2:]).var(axis=3, ddof=1) if layout.training else None


def between_runs(variances: Floats) -> Floats:
    """What runs of unequal variance add to the variance of the mean variance; at least 0.

    Args:
        variances: of every run and prompt over the decode levels [tables, runs, prompts].

    Returns: [tables].
    """
    _, runs, prompts = variances.shape
    centred = variances - variances.mean(axis=1, keepdims=True)
    noise = centred.var(axis=2, ddof=1).mean(axis=1) * runs / (runs - 1) / prompts
    return np.asarray(np.maximum(centred.mean(axis=2).var(axis=1, ddof=1) - noise, 0.0) / runs)


def _over_prompts(terms: list[Term], layout: Layout) -> list[list[int]]:
    """The terms whose mean squares are means over prompts; those with decode make up one quantity, the inference."""
    if not layout.prompt:
        return []
    decode = [place for place, term in enumerate(terms) if layout.decode_axis in term]
    alone = [[place] for place, term in enumerate(terms) if layout.prompt_axis in term and place not in decode]
    return [*alone, decode] if decode else alone


def excess(parts: Floats, df: Floats, rows: Floats, within: Floats | None = None) -> Floats:
    """By how much a sum of mean squares spreads more between prompts (and runs) than normal effects would; at least 1.

    What the runs add is known with as many degrees of freedom as there are runs less one: where it rules, an interval
    has to be as much wider as Student's t is wider than the normal distribution.

    Args:
        parts: every prompt's part of every sum of squares [tables, squares, prompts].
        df: nominal degrees of freedom [squares].
        rows: weight of every mean square in the sum [squares].
        within: of the inference die the variance of every run and prompt [tables, runs, prompts].

    Returns: [tables]; the degrees of freedom are to be divided by it.
    """
    prompts = parts.shape[2]
    by_prompt = np.einsum("m,tmp->tp", rows / df, parts)
    seen = by_prompt.var(axis=1, ddof=1) * prompts
    if within is not None:
        more = between_runs(within)
        whole = seen + more
        part = np.divide(more, whole, out=np.zeros_like(more), where=whole > 0.0)
        seen = whole * _wider((within.shape[1] - 1.0) / np.maximum(part, 1e-3) ** 2)
    normal = np.einsum("m,tm->t", 2.0 * rows**2 / df, (parts.sum(axis=2) / df) ** 2)
    return np.asarray(np.maximum(1.0, np.divide(seen, normal, out=np.ones_like(seen), where=normal > 0.0)))


def _wider(df: Floats) -> Floats:
    """By how much a squared Student's t quantile exceeds the normal one."""
    from scipy.special import stdtrit

    return np.asarray(np.square(stdtrit(df, 0.975) / stdtrit(np.inf, 0.975)))


def weights(shape: tuple[int, ...], layout: Layout) -> Floats:
    """What every mean square (column) adds to every component (row), from the top term down."""
    terms = layout.terms()
    copies = [math.prod(size for axis, size in enumerate(shape) if axis not in term) for term in terms]
    rows = np.zeros((len(terms), len(terms)))
    for place in reversed(range(len(terms))):
        rows[place, place] = 1.0
        for other in range(place + 1, len(terms)):
            if terms[place] < terms[other]:
                rows[place] -= copies[other] * rows[other]
        rows[place] /= copies[place]
    return rows


def _parts(values: Floats, term: Term, layout: Layout) -> tuple[Floats, int]:
    """Of every table the sum of squares of a term by prompt (or in one piece), and its degrees of freedom."""
    effect, df = values, 1
    for axis in range(values.ndim - 1):
        size = values.shape[axis + 1]
        if axis == layout.prompt_axis and layout.decode_axis in term:
            df *= size  # decode levels are centred within each prompt
            continue
        mean = effect.mean(axis=axis + 1, keepdims=True)
        effect = effect - mean if axis in term else mean
        df *= size - 1 if axis in term else 1
    copies = values[0].size // effect[0].size
    prompts = effect.shape[layout.prompt_axis + 1] if layout.prompt else 1
    first = np.moveaxis(effect, layout.prompt_axis + 1, 1) if layout.prompt else effect
    return copies * np.square(first).reshape(len(values), prompts, -1).sum(axis=2), df
