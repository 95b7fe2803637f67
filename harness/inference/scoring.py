"""What models say of texts that they did not sample: human texts, and every text under other models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from harness.data.prompts import Asked
from harness.inference.evaluator import Evaluator
from harness.inference.mauve import Featurizer, mauve_frame
from harness.inference.score import score
from harness.request import Generated
from harness.spec.cells import GenerationCell, TrainingCell
from harness.training.cells import Worker, start_model
from harness.training.inputs import Inputs


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


@dataclass(frozen=True)
class Judging:
    """The texts of one checkpoint's cells, to be judged by other models.

    Attributes:
        worker: the store, where the base is.
        cells: of one checkpoint.
        texts: by cell uid.
        frames: by cell uid; `generations` has a row a text, and is added to.
        inputs: of the problem.
        asked: prompts and human texts.
    """

    worker: Worker
    cells: Sequence[GenerationCell]
    texts: Mapping[str, Sequence[Generated]]
    frames: Mapping[str, dict[str, pd.DataFrame]]
    inputs: Inputs
    asked: Sequence[Asked]

    def add_all(self) -> None:
        """Adds what the un-tuned base, the grid's evaluator and MAUVE's features say of the texts.

        Raises:
            CellError: the base is not there, or a judge cannot judge these texts.
        """
        self._add_base()
        self._add_evaluator()
        self._add_mauve()

    @property
    def _parent(self) -> TrainingCell:
        return self.cells[0].parent

    def _add_base(self) -> None:
        """Under the model that fine-tuning began with; a model from random weights has none."""
        problem = self._parent.problem
        if problem.base is None and problem.model.folder is None:
            return
        base = start_model(self.worker.store, self._parent, self.inputs).to(torch.device(problem.device))
        eos = self.inputs.special.eos
        sequences = [
            (text.prompt.token_ids, _with_end(text.token_ids, text.finished, eos))
            for cell in self.cells
            for text in self.texts[cell.uid]
        ]
        self._add_column("base_logprobs", score(base, sequences))

    def _add_evaluator(self) -> None:
        """Under the evaluator's own tokens."""
        checkpoint = self.cells[0].judges.evaluator
        if checkpoint is None:
            return
        evaluator = Evaluator.load(checkpoint, device=self._parent.problem.device)
        frames = [self.frames[cell.uid]["generations"] for cell in self.cells]
        pairs = [pair for frame in frames for pair in zip(frame["prompt_text"], frame["text"], strict=True)]
        self._add_column("evaluator_logprobs", evaluator.score(pairs))

    def _add_column(self, name: str, logprobs: Sequence[tuple[float, ...]]) -> None:
        rows = iter(logprobs)
        for cell in self.cells:
            self.frames[cell.uid]["generations"][name] = [list(next(rows)) for _ in self.texts[cell.uid]]

    def _add_mauve(self) -> None:
        """Of every sampled cell against the first human text after each prompt; prompts are no part of either."""
        checkpoint = self.cells[0].judges.mauve
        sampled = [cell for cell in self.cells if not cell.setting.human]
        if checkpoint is None or not sampled:
            return
        featurizer = Featurizer.load(checkpoint, device=self._parent.problem.device)
        people = [list(one.humans[0].token_ids) for one in self.asked]
        human = featurizer.features(self.inputs.tokenizer.decode_batch(people, skip_special_tokens=False))
        for cell in sampled:
            features = featurizer.features(self.frames[cell.uid]["generations"]["text"].tolist())
            self.frames[cell.uid]["scores"] = mauve_frame(features, human, seed=self._parent.problem.seed)


def _with_end(token_ids: tuple[int, ...], finished: bool, eos: int | None) -> tuple[int, ...]:
    return (*token_ids, eos) if finished and eos is not None else token_ids
