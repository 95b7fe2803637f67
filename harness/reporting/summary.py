"""The summary: what a report says, in about eight sentences that a reader understands in one minute.

Warnings stand first. A difference whose interval contains 0 is called not found, never absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.analysis.directions import HIGHER, direction
from harness.analysis.directions import NONE as NO_DIRECTION
from harness.analysis.hypotheses import CLAIM, VERDICTS
from harness.reporting.contrasts import ALPHA
from harness.reporting.headline import DIVERSITY, judged
from harness.reporting.notes import FEW
from harness.reporting.numbers import with_interval
from harness.reporting.summary_dice import dice

REGIME, SETTINGS, CROSS = "regime", ("top_k", "setting"), " x "
_TOLD = 2
_SCORE = "loss"  # every task has it; less is better
_UNFINISHED = ("missing", "error")


def summary(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Sentences about the report's tables; a table that is not there has none.

    Args:
        tables: what `report_tables` gives, unrounded.
    """
    warnings = (_lost, _without_runs, _few, _environments, _unresolvable)
    makers = (*warnings, dice, _generalisation, _diversity, _interaction, _claims)
    return [sentence for make in makers for sentence in make(tables)]


def table_of(tables: Mapping[str, pd.DataFrame], name: str) -> pd.DataFrame | None:
    """A table that has rows, or None."""
    found = tables.get(name)
    return None if found is None or found.empty else found


def _lost(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    cells = table_of(tables, "cells")
    if cells is None:
        return []
    counts = cells["status"].value_counts()
    diverged, unfinished = int(counts.get("diverged", 0)), {name: int(counts.get(name, 0)) for name in _UNFINISHED}
    lines = []
    if not (cells["status"] == "done").any():
        told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        return [f"Warning: none of the {len(cells)} cells gave a result ({told}); this report has no numbers."]
    if sum(unfinished.values()):
        told = ", ".join(f"{count} {name}" for name, count in unfinished.items() if count)
        lines.append(f"Warning: the grid is unfinished ({told} of {len(cells)} cells); all numbers are of the others.")
    if diverged:
        lines.append(f"Warning: {diverged} of {len(cells)} cells diverged; means speak of the survivors only.")
    return lines


def _without_runs(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Regimes of which nothing is left: where it is the reference, nothing is compared with it."""
    table = table_of(tables, "generalization")
    if table is None or not table["n"].any():
        return []
    most = table.groupby("regime", sort=False)["n"].max()
    names = [str(name) for name in most.index[most == 0]]
    return [f"Warning: no run of {', '.join(names)} gave a result; no comparison has it."] if names else []


def _few(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table, column = table_of(tables, "generalization"), "n"
    if table is None:  # scores of texts only
        table, column = table_of(tables, "generation"), "n_training"
    if table is None or not 0 < (most := int(table[column].fillna(0).max())) < FEW:
        return []
    runs = "one training replicate" if most == 1 else f"at most {most} training replicates"
    return [f"Warning: {runs} an arm are too few to tell small effects; what is not found here may still exist."]


def _environments(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = table_of(tables, "generalization")
    if table is None or not ((table["environments"] > 1) | (table["pairs_across_environments"] > 0)).any():
        return []
    return ["Warning: cells ran in different environments; some differences include that of the environments."]


def _unresolvable(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Where the smallest p that a sign-flip can reach is above 5 % even before correction."""
    table = table_of(tables, "seeds")
    least = float("nan") if table is None else float(table["smallest_p"].min())
    if not least >= ALPHA:
        return []
    return [
        f"Warning: with so few replicates no sign-flip test can reach p < {ALPHA} (smallest: {least:.2g}); the"
        " t tests here trust that differences are normal."
    ]


def _generalisation(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """How many regimes are better or worse than the reference in the test loss, and the clearest difference.

    Scores without a loss are told of their first metric that has a direction.
    """
    table = table_of(tables, "contrasts")
    if table is None:
        return []
    rows = judged(table[table["family"] == "regimes"])
    rows = rows[rows["p_adjusted"].notna()]
    names = [_SCORE, *(name for name in dict.fromkeys(rows["metric"]) if direction(str(name)) != NO_DIRECTION)]
    metric = next((name for name in names if (rows["metric"] == name).any()), "")
    rows = rows[rows["metric"] == metric]
    if rows.empty:
        return []
    gain = rows["difference"] if direction(metric) == HIGHER else -rows["difference"]
    found = rows["p_adjusted"] < ALPHA
    better, worse = int((found & (gain > 0)).sum()), int((found & (gain < 0)).sum())
    reference = ", ".join(sorted(set(rows["reference"].astype(str))))
    head = (
        f"Regimes and generalisation: of {_differences(len(rows))} of a regime to {reference} in the"
        f" {', '.join(dict.fromkeys(rows['split']))} {metric}, better: {better}, worse: {worse} (Holm-adjusted"
        f" p < {ALPHA}), not decided: {len(rows) - better - worse}"
    )
    if not found.any():
        return [f"{head}."]
    clearness = rows["difference"].abs() / (rows["ci_high"] - rows["ci_low"])
    place = int(clearness.where(found, -1.0).to_numpy().argmax())
    row, side = rows.iloc[place], "better" if gain.iloc[place] > 0 else "worse"
    value = with_interval(row["difference"], row["ci_low"], row["ci_high"])
    arm = f"{row['regime']} on {row['task']} / {row['model']} ({row['split']})"
    return [f"{head}; the clearest: {arm}: {value} ({side})."]


def _differences(count: int) -> str:
    return "1 difference" if count == 1 else f"{count} differences"


def _effects(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The effects of the first diversity metric that has any."""
    table = table_of(tables, "effects")
    for metric in () if table is None else DIVERSITY:
        assert table is not None
        rows = table[(table["metric"] == metric) & table["effect"].isin(SETTINGS) & table["contrast"].notna()]
        if len(rows):
            return table[table["metric"] == metric]
    return None


def _diversity(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """How far the decoding settings and the regimes move diversity, in its own unit."""
    table = _effects(tables)
    if table is None:
        return []
    told = []
    for (task, model), rows in table.groupby(["task", "model"], sort=False):
        moved = {str(row["effect"]): row for row in rows.to_dict("records")}
        parts = [_moved(moved[name]) for name in (*SETTINGS, REGIME) if name in moved and _known(moved[name])]
        told.append(f"{' and '.join(parts)} ({task} / {model})")
    told = [*told[:_TOLD], *([f"{len(told) - _TOLD} more in table effects"] if len(told) > _TOLD else [])]
    return [
        f"Top-k and diversity: the largest change of {table['metric'].iloc[0]} is {'; '.join(told)}. These sizes are"
        f" of this grid's range ({table['range'].iloc[0]})."
    ]


def _known(row: Mapping[Any, Any]) -> bool:
    """Whether there is a contrast: one regime, or one setting, has none."""
    return bool(pd.notna(row["contrast"]))


def _moved(row: Mapping[Any, Any]) -> str:
    """For example `0.31 [0.28, 0.34] over the settings (k=all - k=1)`."""
    over = "over the regimes" if row["effect"] == REGIME else "over the settings"
    value = with_interval(row["contrast"], row["contrast_low"], row["contrast_high"])
    unseen = ", not told from 0" if not (row["contrast_low"] > 0 or row["contrast_high"] < 0) else ""
    return f"{value} {over} ({row['contrast_what']}{unseen})"


def _interaction(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Whether dropout and top-k interact on diversity."""
    table = _effects(tables)
    if table is None:
        return []
    rows = table[table["effect"].isin([f"{REGIME}{CROSS}{name}" for name in SETTINGS]) & table["ci_low"].notna()]
    if rows.empty:
        return []
    found = rows[rows["ci_low"] > 0]
    metric, total = table["metric"].iloc[0], len(rows)
    if found.empty:
        return [
            f"An interaction of regime and decoding setting in {metric} was found in 0 of {total} task-model pairs"
            " (the interval of its variance contains 0); whether it is small is the claim interaction-small."
        ]
    return [
        f"Regime and decoding setting interact in {metric} in {len(found)} of {total} task-model pairs (the interval of"
        f" the interaction's variance lies above 0); whether that is small is the claim interaction-small."
    ]


def _claims(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    table = table_of(tables, "claims")
    rows = None if table is None else table[table["kind"] == CLAIM]
    if rows is None or rows.empty:
        return []
    counts = rows["verdict"].value_counts()
    told = ", ".join(f"{counts[name]} {name}" for name in VERDICTS if name in counts)
    named = [
        f"{verdict} at least once: {', '.join(dict.fromkeys(rows.loc[rows['verdict'] == verdict, 'claim']))}"
        for verdict in VERDICTS[:2]
        if verdict in counts
    ]
    return [f"Claims (rows of claim, task and model): {told}" + "".join(f"; {part}" for part in named) + "."]
