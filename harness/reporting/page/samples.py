"""Sample texts side by side: the same prompt, a row per roll of a die or regime, a column per decoding setting.

Nothing is picked by hand: the first prompts, the lowest levels, and one more level of each die for the first regime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness.analysis.order import ordered
from harness.analysis.settings import GREEDY, HUMAN, SETTING, setting_name

LEVELS = ["training_replicate", "inference_replicate"]
TEXT_COLUMNS = ["task", "model", "regime", *SETTING, *LEVELS, "prompt", "prompt_text", "text"]
PROMPTS = 3
_MOST_SETTINGS = 10
_LONG = 280

Roll = tuple[str, int, int]


@dataclass(frozen=True)
class SampleView:
    """The texts of one prompt.

    Attributes:
        task, model: names.
        number: of the prompt, from 1.
        prompt: the end of it, where it is long.
        settings: names of the columns.
        rows: (name, what was rolled, texts by setting); None where there is no text.
        human: what a person wrote for this prompt, or None.
    """

    task: str
    model: str
    number: int
    prompt: str
    settings: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[str | None, ...]], ...]
    human: str | None


def sample_views(texts: pd.DataFrame | None, regimes: Sequence[str]) -> list[SampleView]:
    """Samples of each task and model.

    Args:
        texts: a row per text with TEXT_COLUMNS, or None.
        regimes: in the order wanted; the texts' own order where empty.
    """
    if texts is None or texts.empty:
        return []
    found = texts[TEXT_COLUMNS].drop_duplicates(["task", "model", "regime", *SETTING, *LEVELS, "prompt"])
    names = [*regimes, *(name for name in dict.fromkeys(found["regime"]) if name not in regimes)]
    return [
        view
        for (task, model), rows in found.groupby(["task", "model"], sort=True)
        for view in _views(str(task), str(model), rows, [name for name in names if name in set(rows["regime"])])
    ]


def _views(task: str, model: str, rows: pd.DataFrame, regimes: list[str]) -> list[SampleView]:
    written = rows["top_k"] == HUMAN
    references = rows[written].sort_values(LEVELS, kind="stable").drop_duplicates("prompt")
    sampled, human = rows[~written], references.set_index("prompt")["text"]
    if sampled.empty:
        return []
    rolls = _rolls(sampled, regimes)
    settings = _settings(sampled)
    first = sampled[(sampled["regime"] == rolls[0][0]) & (sampled["training_replicate"] == rolls[0][1])]
    views = []
    for number, prompt in enumerate(list(dict.fromkeys(first["prompt"]))[:PROMPTS], 1):
        mine = sampled[sampled["prompt"] == prompt]
        text = {tuple(key): str(value) for *key, value in mine[["regime", *LEVELS, *SETTING, "text"]].to_numpy()}
        lines = tuple((*_named(roll, rolls[0]), tuple(_text(text, roll, s) for s in settings)) for roll in rolls)
        person = _cut(str(human[prompt])) if prompt in human.index else None
        names = tuple(setting_name(*setting) for setting in settings)
        views.append(SampleView(task, model, number, _end(str(mine["prompt_text"].iloc[0])), names, lines, person))
    return views


def _rolls(rows: pd.DataFrame, regimes: list[str]) -> list[Roll]:
    """The first roll of every regime; of the first regime also a second roll of either die."""
    runs, levels = (sorted({int(level) for level in rows[column].dropna()}) for column in LEVELS)
    second = [(regimes[0], runs[0], level) for level in levels[1:2]]
    second += [(regimes[0], run, levels[0]) for run in runs[1:2]]
    return [(regimes[0], runs[0], levels[0]), *second, *((regime, runs[0], levels[0]) for regime in regimes[1:])]


def _named(roll: Roll, first: Roll) -> tuple[str, str]:
    regime, run, level = roll
    if roll == first or regime != first[0]:
        return regime, f"training {run}, inference {level}"
    rolled = "the inference die" if level != first[2] else "the training die"
    return regime, f"training {run}, inference {level}: {rolled} rolled again"


def _settings(rows: pd.DataFrame) -> list[tuple[str, float, float, float]]:
    """At temperature 1 without filters where there are such, in order, not more than fit side by side."""
    once = ordered(rows.drop_duplicates(SETTING), SETTING, [])
    plain = once[(once["temperature"] == 1.0) & (once["top_p"] == 1.0) & (once["min_p"] == 0.0)]
    chosen = (plain if len(plain) else once)[SETTING].head(_MOST_SETTINGS)
    return [(str(k), float(t), float(p), float(m)) for k, t, p, m in chosen.itertuples(index=False)]


def _text(texts: dict[tuple[object, ...], str], roll: Roll, setting: tuple[str, float, float, float]) -> str | None:
    found = texts.get((*roll, *setting))
    if found is None and setting[0] == GREEDY:
        found = texts.get((*roll[:2], 0, *setting))
    return None if found is None else _cut(found)


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[:_LONG]} […]"


def _end(prompt: str) -> str:
    """The words that the text continues stand at the end."""
    return prompt if len(prompt) <= _LONG else f"[…] {prompt[-_LONG:]}"
