"""Variance components where values are missing.

Texts: an unweighted means analysis. Every (run, prompt) counts by the mean of its defined replicates, whatever their
number; what the replicates bring is the pooled variance within (run, prompt), and what runs share of it (the sampler's
noise is keyed by prompt and level) the pooled covariance between runs over the levels that both have. With q the mean
of 1 / count and q2 the mean over pairs of runs of shared levels / (count * count), a cell mean's variance holds q times
the runs' own part of the inference die and q - q2 times the shared part. Unbiased if what is missing does not depend on
the values, and the balanced estimator where nothing is missing; its intervals are approximate (Thomas and Hultquist
1978, Annals of Statistics 6:582, for one factor and harmonic mean counts).

Runs: restricted maximum likelihood, by statsmodels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.crossed import EQUAL, Floats, Layout, Squares, excess, squares
from harness.analysis.factorial import ROLES, Levels, Subset, subsets, varied
from harness.analysis.heads import (
    BOTH,
    DECODE_PROMPT,
    INFERENCE,
    PROMPT,
    TOTAL,
    TRAINING,
    TRAINING_DECODE_PROMPT,
    heads,
)


def unweighted_means(values: Floats) -> tuple[Squares, dict[str, Floats]]:
    """Mean squares of one table, and the weights of its quantities.

    Args:
        values: [*training axes, prompts, levels]; NaN: missing, but no (run, prompt) is without a value. Every axis
            has two levels or more; without a training axis it is one run.

    Returns: mean squares of one table (the last two are the decode ones: shared by the runs, and their own), and rows
    as `heads` gives them. With several training axes (roles) what runs share is not told apart: no rows that need it.
    One run tells the inference die and the whole only.
    """
    training = values.ndim - 2
    layout = Layout(training, prompt=True, decode=False)
    count = (~np.isnan(values)).sum(axis=-1)
    cells = squares(np.nanmean(values, axis=-1)[None], layout)
    runs = values.reshape(-1, *values.shape[-2:])
    mean, df = _decode_squares(runs)
    both = Squares(np.append(cells.mean[0], mean)[None], np.append(cells.df[0], df)[None], cells.weights)
    rows = {name: np.append(row, (0.0, 0.0)) for name, row in heads(layout, cells.weights).items()}
    return both, _corrected(rows, count.reshape(len(runs), -1), _shared_levels(runs), several=training > 1)


def _corrected(rows: dict[str, Floats], count: Floats, shared: Floats, *, several: bool) -> dict[str, Floats]:
    """The rows with decode, and those of the cell means without what decode adds to them."""
    runs = len(count)
    inference, own, together = (np.zeros_like(rows[TOTAL]) for _ in range(3))
    inference[-2:] = 1.0 / runs, (runs - 1.0) / runs
    together[-2:], own[-1] = (1.0 / runs, -1.0 / runs), 1.0
    q = float((1.0 / count).mean())
    total = {TOTAL: rows[TOTAL] + (1.0 - q) * inference}
    if runs == 1:
        return {INFERENCE: inference, **total}
    if several:
        return {TRAINING: rows[TRAINING], INFERENCE: inference, **total}
    q2 = _shared_part(count, shared)
    prompt, both = rows[PROMPT] - q2 * together, rows[BOTH] - q * own - (q - q2) * together
    found = {TRAINING: rows[TRAINING], PROMPT: prompt, BOTH: both, INFERENCE: inference}
    return {**found, DECODE_PROMPT: together, TRAINING_DECODE_PROMPT: own, **total}


def _shared_part(count: Floats, shared: Floats) -> float:
    """The mean over pairs of runs and prompts of shared levels / (count * count)."""
    pairs = shared / (count[:, None] * count[None])
    pairs[np.eye(len(count), dtype=bool)] = 0.0
    return float(pairs.sum() / (len(count) * (len(count) - 1) * count.shape[1]))


def _shared_levels(runs: Floats) -> Floats:
    """How many levels every two runs have in common, [runs, runs, prompts]."""
    there = (~np.isnan(runs)).astype(float)
    return np.asarray(np.einsum("rps,qps->rqp", there, there))


def _decode_squares(runs: Floats) -> tuple[Floats, Floats]:
    """Mean squares of what runs share and of their own, each [2], with effective degrees of freedom."""
    number = len(runs)
    within, degrees = _within(runs)
    covariance = _covariance(runs)
    weight = degrees / number
    common = np.nansum(weight * covariance) / max(np.nansum(weight[~np.isnan(covariance)]), 1.0)
    covariance = np.where(np.isnan(covariance), common, covariance)
    parts = np.stack([weight * (within + (number - 1) * covariance), (number - 1) * weight * (within - covariance)])
    df = np.array([weight.sum(), max((number - 1) * weight.sum(), 1.0)])
    rows = np.array([1.0 / number, (number - 1.0) / number])
    # What a covariance over few shared levels costs is seen in the spread of each alone.
    alone = [excess(parts[None, [place]], df[[place]], np.ones(1))[0] for place in range(2)]
    divided = np.maximum(excess(parts[None], df, rows, _cells(runs))[0], alone)
    return np.maximum(parts.sum(axis=1) / df, 0.0), np.maximum(df / divided, 1.0)


def _cells(runs: Floats) -> Floats | None:
    """The variance within every run and prompt [1, runs, prompts], of the prompts that have two values in every run."""
    some = ((~np.isnan(runs)).sum(axis=2) > 1).all(axis=0)
    return np.nanvar(runs[:, some], axis=2, ddof=1)[None] if len(runs) > 1 and some.sum() > 1 else None


def _within(runs: Floats) -> tuple[Floats, Floats]:
    """By prompt the variance within runs, pooled, and its degrees of freedom."""
    centred = runs - np.nanmean(runs, axis=2, keepdims=True)
    degrees = ((~np.isnan(runs)).sum(axis=2) - 1).sum(axis=0).astype(float)
    return np.nansum(centred**2, axis=(0, 2)) / np.maximum(degrees, 1.0), degrees


def _covariance(runs: Floats) -> Floats:
    """By prompt the covariance between runs over shared levels, pooled over pairs; NaN where no pair shares two."""
    there = (~np.isnan(runs)).astype(float)
    filled = np.where(np.isnan(runs), 0.0, runs - np.nanmean(runs, axis=2, keepdims=True))
    shared = _shared_levels(runs)
    product = np.einsum("rps,qps->rqp", filled, filled)
    sums = np.einsum("rps,qps->rqp", filled, there)  # of r over the levels that q has
    moved = product - sums * sums.transpose(1, 0, 2) / np.maximum(shared, 1.0)
    other = ~np.eye(len(runs), dtype=bool)[..., None] & (shared > 1)
    degrees = np.where(other, shared - 1.0, 0.0).sum(axis=(0, 1))
    total = np.where(other, moved, 0.0).sum(axis=(0, 1))
    return np.asarray(np.divide(total, degrees, out=np.full_like(total, math.nan), where=degrees > 0))


def reml(levels: Sequence[Levels], values: Sequence[float]) -> dict[Subset, float] | None:
    """Components of runs of an incomplete crossed design, by set of varied roles; none is negative.

    Restricted maximum likelihood (Patterson and Thompson 1971, Biometrika 58:545) by statsmodels. The top interaction
    is the residual: a combination has one run. Six digits: the optimiser finds no more.

    Returns: None where the fit does not end, nothing varies, or there are too few runs for so many components.
    """
    roles = list(varied(levels))
    sets = subsets(len(roles))
    scale = float(np.std(values))
    if len(values) <= len(sets) + 1 or len(sets) < 2 or scale <= EQUAL * float(np.abs(values).max()):
        return None
    columns = {role: [str(run[ROLES.index(role)]) for run in levels] for role in roles}
    numbers = _fit(columns, (np.asarray(values) - values[0]) / scale, [[roles[axis] for axis in some] for some in sets])
    if numbers is None:
        return None
    return {some: float(f"{number * scale**2:.6g}") for some, number in zip(sets, numbers, strict=True)}


def _fit(columns: dict[str, list[str]], values: Floats, sets: Sequence[Sequence[str]]) -> list[float] | None:
    """Components of every set of columns; the last is the residual. What is 0 to six digits is 0."""
    import warnings

    import pandas as pd
    from statsmodels.regression.mixed_linear_model import MixedLM

    rows = pd.DataFrame(columns).assign(value=values, one=1)
    formulas = {" x ".join(some): "0 + " + ":".join(f"C({role})" for role in some) for some in sets[:-1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a component at its bound 0 is no reason to warn
        model = MixedLM.from_formula("value ~ 1", rows, groups="one", vc_formula=formulas)
        try:
            fitted = model.fit(reml=True, method=["lbfgs", "powell"])  # powell also ends where a component is 0
        except np.linalg.LinAlgError:
            return None
    if not fitted.converged:
        return None
    found = dict(zip(model.exog_vc.names, fitted.vcomp, strict=True))
    numbers = [*(float(found[name]) for name in formulas), float(fitted.scale)]
    return [number if number > 1e-6 else 0.0 for number in numbers]
