"""What models say of texts that they did not sample: human texts, and every text under other models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from harness.data.prompts import Asked
from harness.inference.evaluator import Evaluator
from harness.inference.mauve import Featurizer, mauve_frame
from harness.inference.score import score
from harness.request import Generated
from harness.spec.cells import GenerationCell
from harness.training.cells import Worker, start_model
from harness.training.inputs import Inputs

Frames = Mapping[str, dict[str, pd.DataFrame]]


def human_texts(
    model: Any, cells: Iterable[GenerationCell], asked: Sequence[Asked], eos: int | None
) -> dict[str, list[Generated]]:
    """What people wrote after the prompts, scored by the model; cell level i has the i-th text of each prompt.

    A prompt with fewer texts has none at that level.
    """
    found = {}
    for cell in cells:
        pairs = [(one.prompt, one.humans[cell.level]) for one in asked if cell.level < len(one.humans)]
        drawn = [_with_end(human.token_ids, human.finished, eos) for _, human in pairs]
        logprobs = score(model, [(prompt.token_ids, ids) for (prompt, _), ids in zip(pairs, drawn, strict=True)])
        found[cell.uid] = [
            Generated(prompt, cell.setting, cell.level, human.token_ids, scores, (), human.finished)
            for (prompt, human), scores in zip(pairs, logprobs, strict=True)
        ]
    return found


class Judging:
    """Other models that judge the texts of one checkpoint; loaded before a text is sampled, so that faults come early.

    Raises:
        CellError, UserError: the base is not there, or a judge cannot be loaded.
    """

    def __init__(self, worker: Worker, cells: Sequence[GenerationCell], inputs: Inputs) -> None:
        self._cells, self._inputs = cells, inputs
        parent, judges = cells[0].parent, cells[0].judges
        self._problem = parent.problem
        device = self._problem.device
        self._base: Any = None
        if self._problem.base is not None or self._problem.model.folder is not None:
            self._base = start_model(worker.store, parent, inputs).to(torch.device(device))
        self._evaluator = Evaluator.load(judges.evaluator, device=device) if judges.evaluator else None
        self._featurizer = Featurizer.load(judges.mauve, device=device) if judges.mauve else None

    def add_to(self, frames: Frames, texts: Mapping[str, Sequence[Generated]], asked: Sequence[Asked]) -> None:
        """Adds what the un-tuned base, the grid's evaluator and MAUVE's features say of the texts.

        Args:
            frames: by cell uid; `generations` has a row a text, and is added to.
            texts: by cell uid.
            asked: prompts and human texts.

        Raises:
            CellError: a judge cannot judge these texts.
        """
        if self._base is not None:
            self._add_base(frames, texts)
        if self._evaluator is not None:
            self._add_evaluator(frames, self._evaluator)
        sampled = [cell for cell in self._cells if not cell.setting.human]
        if self._featurizer is not None and sampled:
            self._add_mauve(frames, sampled, asked, self._featurizer)

    def _add_base(self, frames: Frames, texts: Mapping[str, Sequence[Generated]]) -> None:
        """Under the model that fine-tuning began with; a model from random weights has none."""
        eos = self._inputs.special.eos
        sequences = [
            (text.prompt.token_ids, _with_end(text.token_ids, text.finished, eos))
            for cell in self._cells
            for text in texts[cell.uid]
        ]
        self._add_column(frames, "base_logprobs", score(self._base, sequences))

    def _add_evaluator(self, frames: Frames, evaluator: Evaluator) -> None:
        """Under the evaluator's own tokens."""
        tables = [frames[cell.uid]["generations"] for cell in self._cells]
        pairs = [pair for table in tables for pair in zip(table["prompt_text"], table["text"], strict=True)]
        self._add_column(frames, "evaluator_logprobs", evaluator.score(pairs))

    def _add_mauve(
        self, frames: Frames, sampled: Sequence[GenerationCell], asked: Sequence[Asked], featurizer: Featurizer
    ) -> None:
        """Of every sampled cell against the first human text after each prompt; prompts are no part of either."""
        people = [list(one.humans[0].token_ids) for one in asked]
        human = featurizer.features(self._inputs.tokenizer.decode_batch(people, skip_special_tokens=False))
        for cell in sampled:
            features = featurizer.features(frames[cell.uid]["generations"]["text"].tolist())
            frames[cell.uid]["scores"] = mauve_frame(features, human, seed=self._problem.seed)

    def _add_column(self, frames: Frames, name: str, logprobs: Sequence[tuple[float, ...] | None]) -> None:
        """One list a text; null where it is not known how likely the text is."""
        rows = iter(None if scores is None else list(scores) for scores in logprobs)
        for cell in self._cells:
            table = frames[cell.uid]["generations"]
            table[name] = pd.Series([next(rows) for _ in range(len(table))], index=table.index, dtype=object)


def _with_end(token_ids: tuple[int, ...], finished: bool, eos: int | None) -> tuple[int, ...]:
    return (*token_ids, eos) if finished and eos is not None else token_ids
