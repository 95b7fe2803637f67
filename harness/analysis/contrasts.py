"""The table `contrasts`: each regime against the reference regime, each decoding setting against the reference setting.

Both comparisons are declared before any number is seen. Regimes are paired by training replicate, that is by the levels
of init, sample and order (a dropout mask pairs nothing: its draws depend on the rates); settings by training replicate,
prompt and decode level. The pairs stay paired where the correlation is low: it is printed, no variance is claimed to be
saved.

The reference setting is k = all at temperature 1 without filters, which samples from the model's own distribution.
Where the grid lacks it: among the sampled settings (not greedy, if any is sampled) those without filters, of these the
ones at the temperature nearest to 1, of these the largest k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.blocks import EXAMPLE, SPLIT, Block, Setting
from harness.analysis.contrast_pairs import Arm, arm
from harness.analysis.contrast_rows import ROW, compared
from harness.analysis.multiplicity import holm
from harness.analysis.order import ordered, top_k_rank
from harness.analysis.settings import GREEDY, SETTING, setting_name
from harness.analysis.study import Study

REGIMES, SETTINGS = "regimes", "settings"
COLUMNS = ["family", "task", "model", "split", "regime", "reference", *SETTING, "reference_setting", "metric", "unit"]
COLUMNS += [*ROW[: ROW.index("p") + 1], "p_adjusted", "family_size", *ROW[ROW.index("p") + 1 :]]
FAMILY = {
    REGIMES: ["task", "model", "split", "metric", "unit", *SETTING],
    SETTINGS: ["task", "model", "metric", "unit", "regime"],
}
COMPANION = "-error"  # the standard error of another metric: no outcome of its own
_ORDER = ["family", "task", "model", "split", "metric", "unit", "regime", *SETTING]
_NO_SETTING = dict(zip(SETTING, ("", math.nan, math.nan, math.nan), strict=True))


def contrasts(study: Study) -> pd.DataFrame:
    """One row per difference; in the metric's own unit.

    Family `regimes`: every regime minus the reference, for every metric of a split and, per setting, of texts. Family
    `settings`: every setting minus the reference setting, per regime.

    `mean`, `reference_mean` and `difference` are over training replicates and prompts (a split's examples, where there
    is one value of each); 95 % interval, df, t and p are those of harness.analysis.means: of new training replicates
    AND new prompts; where there is one value a run (units split and set) Student's t over replicates. `p_adjusted` is
    Holm's over the family: the regimes of one task, model, split, metric and setting, or the settings of one task,
    model, metric and regime; `family_size` is the number of its members that have a p.

    `better` is the share of training replicates in which the row's arm beats its reference, in the metric's
    `direction` (of one without a direction the share in which it is larger), with its exact interval: see
    harness.analysis.wins, and harness.analysis.multiplicity for `sign_flip_p`. Both need independent replicates, so
    that a crossed or isolated design has none; a crossed design has its interval from its roles, an isolated one none.

    `pairing` says what is paired; where no replicate is there on both sides it is `unpaired`: Welch's t of the
    replicates' means (1947, Biometrika 34:28), given their prompts. `note` names what was left out, and why there is no
    interval.

    Raises:
        ValueError: a replicate has other role levels in another regime.
    """
    rows = [row for block in _blocks(study) for row in (*_of_regimes(block, study), *_of_settings(block))]
    table = _adjusted(pd.DataFrame(rows, columns=COLUMNS).astype({"p": float}))
    return ordered(table.astype({"n_prompts": "Int64"}), _ORDER, study.regimes)


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """With Holm's p and the size of every family."""
    p, adjusted, sizes = table["p"].to_numpy(), np.full(len(table), math.nan), np.zeros(len(table), dtype=int)
    for family, factors in FAMILY.items():
        numbered = table.assign(row=np.arange(len(table)))
        members = numbered[numbered["family"] == family].groupby(factors, sort=False, dropna=False)["row"]
        for _, rows in members:
            adjusted[rows], steps = holm(p[rows])
            sizes[rows] = steps.max(initial=0)
    return table.assign(p_adjusted=adjusted, family_size=sizes)


def _blocks(study: Study) -> Iterator[Block]:
    """Every metric once: by example where all runs have that, by run otherwise."""
    by_example = {_measured(block): block for block in study.examples}
    for block in study.runs:
        finer = by_example.pop(_measured(block), None)
        yield block if finer is None else finer
    yield from by_example.values()  # a user's scores may know examples only
    for block in study.texts:
        if not block.metric.endswith(COMPANION):
            yield block


def _measured(block: Block) -> tuple[str, ...]:
    return block.task, block.model, block.split, block.metric


def _of_regimes(block: Block, study: Study) -> Iterator[dict[str, Any]]:
    if study.reference not in block.regimes:  # it gave no value: table cells says why
        return
    base = block.regimes.index(study.reference)
    for place, regime in enumerate(block.regimes):
        for number, setting in enumerate(block.settings):
            mine, theirs = arm(block, place, number), arm(block, base, number)
            if place != base and _any_value(mine, theirs):
                named = _NO_SETTING if block.unit in (SPLIT, EXAMPLE) else dict(zip(SETTING, setting, strict=True))
                factors = {"family": REGIMES, "regime": regime, "reference": study.reference, "reference_setting": ""}
                yield {
                    **_named(block),
                    **factors,
                    **named,
                    **compared(mine, theirs, block, "training replicate", regimes=True),
                }


def _of_settings(block: Block) -> Iterator[dict[str, Any]]:
    if len(block.settings) < 2:
        return
    base = reference_setting(block.settings)
    pairing = {"text": "training replicate, prompt, decode level", "prompt": "training replicate, prompt"}
    paired = pairing.get(block.unit, "training replicate, decode level")
    for place, regime in enumerate(block.regimes):
        for number, setting in enumerate(block.settings):
            mine, theirs = arm(block, place, number), arm(block, place, base)
            if number != base and _any_value(mine, theirs):
                factors = {"family": SETTINGS, "regime": regime, "reference": ""}
                factors |= {**dict(zip(SETTING, setting, strict=True))}
                factors["reference_setting"] = setting_name(*block.settings[base])
                yield {**_named(block), **factors, **compared(mine, theirs, block, paired, regimes=False)}


def reference_setting(settings: Sequence[Setting]) -> int:
    """The place of the reference setting; see the module."""

    def rank(place: int) -> tuple[Any, ...]:
        top_k, temperature, top_p, min_p = settings[place]
        plain = top_p == 1.0 and min_p == 0.0
        return top_k != GREEDY, plain, -abs(temperature - 1.0), top_k_rank(top_k), temperature, top_p, -min_p

    return max(range(len(settings)), key=rank)


def _named(block: Block) -> dict[str, Any]:
    names = {"task": block.task, "model": block.model, "split": block.split}
    return {**names, "metric": block.metric, "unit": block.unit}


def _any_value(mine: Arm, theirs: Arm) -> bool:
    return bool(mine.there or theirs.there)
