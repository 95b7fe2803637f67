"""A store of generation cells with given texts: a conditional toy task that judges its texts, and no model at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from tokenizers import Tokenizer
from toolbox import TINY, tiny_grid

from harness.data.prompts import Asked
from harness.inference.context import Context
from harness.spec.cells import GenerationCell
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.store import Record, Store

TARGETS = {"one": ["a cat sat", "cats sit here"], "two": ["dogs run"], "three": ["it is late", "late again", "so late"]}
TASK = f'''
import pandas as pd
from harness.data.task import Task, TaskData, task

TARGETS = {TARGETS}

def pairs(targets):
    return pd.DataFrame([(s, t) for s, all in targets.items() for t in all], columns=["source", "target"])

@task("paired")
class Paired(Task):
    """Three sources with references."""
    kind = "conditional"

    def load(self, options, data):
        train = pairs({{"zero =>": ["the cat sat down", "dogs bark", "abcdefghijklmnopqrstuvwxyz"]}})
        return TaskData("conditional", {{"train": train, "validation": train[:1], "test": pairs(TARGETS)}})

    def judge(self, text):
        if "?" in text.text:
            raise ValueError("a question")
        if "!" in text.text:
            return {{"shouts": 1.0}}
        assert "".join(text.token_texts) == text.text
        return {{"vowels": sum(c in "aeiou" for c in text.text), "drawn": len(text.sampling_logprobs)}}

    def judge_set(self, texts):
        return {{"judged": len(texts)}}
'''
SAID = " the cat is late"


class StoredTexts:
    """The cells of a tiny grid; `save` stores one with its texts."""

    def __init__(self, home: Path, **changes: Any) -> None:
        (home / "tasks").mkdir(exist_ok=True)
        (home / "tasks" / "paired.py").write_text(TASK, encoding="utf-8")
        grid: dict[str, Any] = {
            "tasks": ["paired"],
            "models": [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 0}}],
            "regimes": {"none": {}},
            "replicates": {"training": {"count": 2}, "inference": {"count": 3}, "repeats": 0},
            "decoding": {"top_k": [1, 5], "max_new_tokens": 24, "prompts": 3},
        }
        self.store = Store(home / "results")
        self.expansion: Expansion = expand(parse_grid(tiny_grid(**{**grid, **changes}), "tiny"), self.store, None)
        self.problem = self.expansion.problems[0]
        self.context = Context(self.problem, self.store.root / "cache" / "tokenizers")
        self.tokenizer: Tokenizer = self.context.tokenizer

    @property
    def asked(self) -> list[Asked]:
        """The prompts."""
        return list(self.expansion.prompts[self.problem.label, self.problem.model.name])

    def cell(self, top_k: str = "5", level: int = 0) -> GenerationCell:
        """A generation cell of the first checkpoint."""
        return next(c for c in self.expansion.generation if (c.setting.label, c.level) == (top_k, level))

    def frame(self, cell: GenerationCell, says: Callable[[int], str]) -> pd.DataFrame:
        """The table of a cell whose i-th text is says(i); of a human cell what people wrote."""
        asked = [one for one in self.asked if not cell.setting.human or cell.level < len(one.humans)]
        ids = [self.tokenizer.encode(says(i), add_special_tokens=False).ids for i in range(len(asked))]
        if cell.setting.human:
            ids = [list(one.humans[cell.level].token_ids) for one in asked]
        logprobs = [[-math.log(2 + i)] * len(row) for i, row in enumerate(ids)]
        columns = {
            "prompt": [one.prompt.id for one in asked],
            "prompt_text": [one.prompt.text for one in asked],
            "text": self.tokenizer.decode_batch(ids, skip_special_tokens=False),
            "token_ids": ids,
            "logprobs": logprobs,
            "sampling_logprobs": [[] for _ in ids] if cell.setting.human else logprobs,
            "finished": [False for _ in ids],
        }
        return pd.DataFrame(columns)

    def save(
        self, cell: GenerationCell, says: Callable[[int], str] = lambda i: SAID[: 16 - i], **frames: pd.DataFrame
    ) -> pd.DataFrame:
        """Stores a cell, and any further tables; returns its texts as they are read."""
        frame = self.frame(cell, says)
        whole = {"generations": frame, **frames}
        record = Record(cell.uid, cell.kind, "done", cell.identity, summary={"texts": len(frame)}, environment="none")
        self.store.save(record, frames=whole)
        return self.store.frame(cell.uid, "generations")

    def save_all(self) -> None:
        """Stores every cell of the grid, the training cells without a number."""
        names = {"metrics": ["split", "metric", "value"], "rates": ["site", "step", "rate"]}
        names |= {"history": ["step", "metric", "value"], "predictions": ["split", "example"]}
        frames = {name: pd.DataFrame(columns=columns) for name, columns in names.items()}
        summary = {"metrics": {}, "selected_step": 1}
        for training in self.expansion.training:
            record = Record(training.uid, training.kind, "done", training.identity, summary=summary)
            self.store.save(record, frames=frames)
        for place, cell in enumerate(self.expansion.generation):
            self.save(cell, lambda i, place=place: SAID[place % 4 : 16 - i])  # type: ignore[misc]
