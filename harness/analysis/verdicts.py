"""From paired replicates to a verdict: supported, not supported, undecided.

Everything that a claim needs is written as means that must lie above 0: "better by more than d" is mean(x - d) > 0,
"not worse by more than d" is mean(x + d) > 0, and "alike within d" is both mean(d - x) > 0 and mean(d + x) > 0, the
two one-sided tests of Schuirmann (1987, Journal of Pharmacokinetics and Biopharmaceutics 15:657). d may be a share of
something that is measured in the same runs: then it stands in the mean as a value of every run, with its own spread.

A claim of several needs holds where all of them do, so its p is the largest (intersection-union test: Berger 1982,
Technometrics 24:295); it fails where one fails, so the p against it is the smallest times the number of parts. All p
are two-sided, those of the two one-sided tests, too (2.5 % each side): one 95 % interval then tells what the p tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.analysis.blocks import Floats
from harness.analysis.factorial import Levels
from harness.analysis.hypotheses import LEVEL, NOT_SUPPORTED, SUPPORTED, UNDECIDED
from harness.analysis.intervals import Interval
from harness.analysis.prompt_means import over_prompts

POWER = 0.8
MOST = 1000  # replicates that are looked at for `more_replicates`
Values = pd.Series | pd.DataFrame


@dataclass(frozen=True)
class Part:
    """One statement about a mean over replicates (and prompts, where the values have any).

    Attributes:
        what: what `effect` is and where the claim wants it, for a reader.
        effect: [replicates, prompts], in its own unit; one column where there are no prompts. NaN: no value.
        margin: the stated margin in the same unit, [replicates, prompts].
        needs: each [replicates, prompts]; the part holds where the mean of each is above 0.
    """

    what: str
    effect: pd.DataFrame
    margin: pd.DataFrame
    needs: tuple[pd.DataFrame, ...]


def above(what: str, effect: Values, margin: Values | float = 0.0) -> Part:
    """The effect is more than the margin."""
    x, d = _frames(effect, margin)
    return Part(what, x, d, (x - d,))


def not_below(what: str, effect: Values, margin: Values | float) -> Part:
    """The effect is more than minus the margin: not worse by more than it."""
    x, d = _frames(effect, margin)
    return Part(what, x, d, (x + d,))


def within(what: str, effect: Values, margin: Values | float) -> Part:
    """The effect is nearer to 0 than the margin (two one-sided tests)."""
    x, d = _frames(effect, margin)
    return Part(what, x, d, (d - x, d + x))


def _frames(effect: Values, margin: Values | float) -> tuple[pd.DataFrame, pd.DataFrame]:
    x = effect.to_frame(0) if isinstance(effect, pd.Series) else effect
    if isinstance(margin, float):
        return x, x * 0.0 + margin
    return x, margin.to_frame(0) if isinstance(margin, pd.Series) else margin


@dataclass(frozen=True)
class Sample:
    """The replicates that count: each pair of runs once.

    Attributes:
        design: joint, isolated or crossed.
        levels: role levels by replicate.
    """

    design: str
    levels: Mapping[int, Levels]

    def interval(self, values: Values) -> tuple[Interval, str]:
        """Mean, 95 % interval and test of values [replicates, prompts], and why there is no interval, or ""."""
        table = values.to_frame(0) if isinstance(values, pd.Series) else values
        table = table.loc[[place for place in self.levels if place in table.index]].dropna(how="all")
        if table.empty:
            return Interval(0, *[math.nan] * 4), "no pair of runs"
        found = over_prompts(self.design, [self.levels[place] for place in table.index], table.to_numpy(dtype=float))
        return found.interval, found.note or self._why(found.interval)

    def _why(self, found: Interval) -> str:
        if not math.isnan(found.low):
            return ""
        if found.n < 2:
            return f"{found.n} pair of runs: at least 2 are needed"
        if self.design == "isolated":
            return "isolated design: the other streams stand at level 0, so the mean has no interval"
        return f"all {found.n} pairs of runs give the same number: no spread to judge by"


@dataclass(frozen=True)
class Evidence:
    """What the replicates say about a claim, before the other claims of the family are looked at.

    Attributes:
        shown: the part that decides: the weakest where all lean to the claim, else the strongest against it.
        effect: mean of its effect with the 95 % interval; n is the number of pairs of runs.
        margin: mean of its margin.
        need: mean and test of the need that decides.
        favours: whether all means lie on the claim's side.
        p: two-sided, of the lean; NaN: the data have no spread to judge by.
        picked: out of so many parts the shown one was picked for its p.
        design: joint, isolated or crossed.
        note: why p is NaN.
    """

    shown: Part
    effect: Interval
    margin: float
    need: Interval
    favours: bool
    p: float
    picked: int
    design: str
    note: str


@dataclass(frozen=True)
class _Test:
    part: Part
    found: Interval
    note: str

    @property
    def doubt(self) -> float:
        """Its p; a need without a spread cannot be judged, so it is in more doubt than any."""
        return 2.0 if math.isnan(self.found.p) else self.found.p


def weigh(parts: Sequence[Part], sample: Sample) -> Evidence:
    """The evidence for or against a claim that holds where all its parts do.

    Args:
        parts: at least one; what has no value in one of them is left out of all.
        sample: which replicates count.
    """
    parts = _complete(parts)
    tests = [_Test(part, *sample.interval(need)) for part in parts for need in part.needs]
    against = [test for test in tests if test.found.mean < 0.0]
    chosen = min(against, key=lambda test: test.doubt) if against else max(tests, key=lambda test: test.doubt)
    picked = len(parts) if against else 1
    effect, _ = sample.interval(chosen.part.effect)
    margin, _ = sample.interval(chosen.part.margin)
    p = min(1.0, picked * chosen.found.p) if not math.isnan(chosen.found.p) else math.nan
    return Evidence(chosen.part, effect, margin.mean, chosen.found, not against, p, picked, sample.design, chosen.note)


def _complete(parts: Sequence[Part]) -> list[Part]:
    """The parts without the values that one of them lacks."""
    frames = [frame for part in parts for frame in (part.effect, part.margin)]
    known = pd.DataFrame(np.logical_and.reduce([frame.notna() for frame in frames]), frames[0].index, frames[0].columns)
    return [
        Part(
            part.what, part.effect.where(known), part.margin.where(known), tuple(one.where(known) for one in part.needs)
        )
        for part in parts
    ]


def verdict(evidence: Evidence, p_adjusted: float) -> str:
    """Supported or not supported where the adjusted p is at most `LEVEL`, else undecided."""
    if math.isnan(p_adjusted) or p_adjusted > LEVEL:
        return UNDECIDED
    return SUPPORTED if evidence.favours else NOT_SUPPORTED


def more_replicates(evidence: Evidence, factor: int) -> float:
    """How many more training replicates would decide the claim, were estimate and spreads the true ones.

    The smallest number that shows the deciding need with a power of 80 % (noncentral t), at the level that Holm's step
    gives this claim now. The error of the mean is sqrt(s^2 / n + c): s is the standard deviation of the runs, c what
    more runs do not take away (the prompts; it keeps the degrees of freedom that the mean has now). It rests on an
    estimated effect, so it is a guess, and a rough one from few runs.

    Returns:
        at least 1; infinite above `MOST`; NaN where nothing can be said, as of designs other than joint, whose runs
        share levels.
    """
    need, level = evidence.need, LEVEL / max(1, factor * evidence.picked)
    if not factor or not abs(need.t) > 0.0 or evidence.design != "joint":
        return math.nan
    n = need.n + np.arange(1.0, MOST + 1.0)
    own, stays = need.sd**2 / n, max(0.0, (need.mean / need.t) ** 2 - need.sd**2 / need.n)
    df = (own + stays) ** 2 / (own**2 / (n - 1.0) + stays**2 / need.df)
    enough = _power(abs(need.mean) / np.sqrt(own + stays), df, level) >= POWER
    return float(np.argmax(enough) + 1) if enough.any() else math.inf


def _power(shift: Floats, df: Floats, level: float) -> Floats:
    """Chance of a two-sided p of at most `level` on the side where the mean lies, `shift` standard errors from 0."""
    from scipy.special import nctdtr, stdtrit

    needed = stdtrit(df, 1.0 - level / 2.0)
    most = 2.0 * needed + 37.0  # beyond it the noncentral t loses its digits, and the chance is as good as 1
    power: Floats = 1.0 - nctdtr(df, np.minimum(shift, most), needed)
    return power
