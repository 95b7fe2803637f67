"""What metrics of stored texts need beside the texts: references, training texts, the task's own judgement. No torch.

It is read from the task's data, once per problem and only when something asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.data.assets import task_data, tokenizer_for
from harness.data.encode import ARROW, encode_stream
from harness.data.subset import with_train_size
from harness.data.task import JudgedText, Task, TaskData, find_task
from harness.errors import CellError
from harness.inference.copies import Longs, Rows, longest_copies
from harness.inference.metrics.registry import Text
from harness.request import prompt_id
from harness.spec.cells import GenerationCell, Problem
from harness.spec.steps import stream_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Context:
    """The facts of one problem that the metrics of its texts rest on."""

    def __init__(self, problem: Problem, tokenizers: Path) -> None:
        """Nothing is read yet.

        Args:
            problem: what the texts' checkpoints were trained on.
            tokenizers: folder of trained tokenizers.
        """
        self.problem = problem
        self._tokenizers = tokenizers
        self._pieces: dict[int, str] = {}

    @cached_property
    def data(self) -> TaskData:
        """The task's data.

        Raises:
            CellError: it is not what the problem says: it changed after planning.
        """
        data, fingerprint = task_data(self.problem.task, dict(self.problem.options), self.problem.data)
        if fingerprint != self.problem.fingerprint:
            raise CellError(f"the data of task {self.problem.task} changed since the grid was planned")
        return data

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        return tokenizer_for(self.problem.model, self.data, self.problem.fingerprint, self._tokenizers)

    @cached_property
    def task(self) -> Task:
        """The task, which may judge its texts itself."""
        return find_task(self.problem.task)

    @cached_property
    def references(self) -> Mapping[str, tuple[str, ...]]:
        """All targets of each source of the test split, in its order, by prompt id; none for a stream of text."""
        if self.problem.kind != "conditional":
            return {}
        test = self.data.splits["test"]
        targets = {str(source): tuple(group) for source, group in test.groupby("source", sort=False)["target"]}
        encoded = self.tokenizer.encode_batch([source + ARROW for source in targets], add_special_tokens=False)
        return {prompt_id(one.ids): texts for one, texts in zip(encoded, targets.values(), strict=True)}

    @cached_property
    def _training_texts(self) -> Rows:
        """Token ids of what the model learnt to write: the training stream, or each training target as it was read."""
        problem, tokenizer = self.problem, self.tokenizer
        data = with_train_size(self.data, problem.train_size, problem.seed)
        train = data.splits["train"]
        if data.kind == "conditional":
            targets = [" " + target for target in train["target"]]
            return [one.ids for one in tokenizer.encode_batch(targets, add_special_tokens=False)]
        stream = encode_stream(train, tokenizer, data.separator)
        size = problem.train_size
        return [stream if size is None else stream[: stream_tokens(size, problem.max_length)]]

    def copies(self, token_ids: Rows) -> Longs:
        """Tokens of the longest span of each text that stands in the training texts, int64 [texts]."""
        return longest_copies(token_ids, self._training_texts)

    def texts(
        self, cell: GenerationCell, generations: pd.DataFrame, copied: Sequence[int] | Longs | None
    ) -> list[Text]:
        """The texts of a cell as metrics see them.

        Args:
            cell: of this problem.
            generations: its stored table.
            copied: see `copies`; None where nothing asks for it.

        Raises:
            CellError: a prompt is no source of the test split, or a human text is none of its references.
        """
        columns = {name: _tuples(generations, name) for name in ("token_ids", "logprobs", "base_logprobs")}
        evaluated = _tuples(generations, "evaluator_logprobs")
        return [
            Text(
                token_ids=columns["token_ids"][row],
                logprobs=columns["logprobs"][row],
                base_logprobs=columns["base_logprobs"][row],
                evaluator_logprobs=evaluated[row],
                string=string,
                references=self._references(cell, prompt, columns["token_ids"][row]),
                vocabulary=self.problem.vocabulary,
                copied=None if copied is None else int(copied[row]),
            )
            for row, (prompt, string) in enumerate(zip(generations["prompt"], generations["text"], strict=True))
        ]

    def _references(self, cell: GenerationCell, prompt: str, token_ids: tuple[int, ...]) -> tuple[str, ...]:
        """The human texts after a prompt; of one of them, which the cell's level counts, the others."""
        if self.problem.kind != "conditional":
            return ()
        found = self.references.get(prompt)
        if found is None:
            raise CellError(f"generation cell {cell.uid}: prompt {prompt} is no source of the test split")
        if not cell.setting.human:
            return found
        own = (
            self.tokenizer.encode(" " + found[cell.level], add_special_tokens=False).ids if found[cell.level :] else []
        )
        if tuple(own[: len(token_ids)]) != token_ids:
            raise CellError(f"human cell {cell.uid}: the text after prompt {prompt} is not its reference {cell.level}")
        return found[: cell.level] + found[cell.level + 1 :]

    def judged(self, generations: pd.DataFrame) -> tuple[dict[str, list[float]], dict[str, float]]:
        """What the task itself makes of a cell's texts: values by text and of the set, by metric; most tasks nothing.

        Raises:
            CellError: it fails to, or judges some texts by other metrics than others.
        """
        kind = type(self.task)
        if kind.judge is Task.judge and kind.judge_set is Task.judge_set:
            return {}, {}
        texts = self._judged_texts(generations)
        try:
            rows, whole = [self.task.judge(text) for text in texts], self.task.judge_set(texts)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise CellError(f"task {self.problem.task} cannot judge its texts: {what}") from error
        if len({frozenset(row) for row in rows}) > 1:
            raise CellError(f"task {self.problem.task}: judge must name the same metrics for every text")
        by_text = {name: [float(row[name]) for row in rows] for name in (rows[0] if rows else {})}
        return by_text, {name: float(value) for name, value in whole.items()}

    def _judged_texts(self, generations: pd.DataFrame) -> list[JudgedText]:
        sampled = [ids or () for ids in _tuples(generations, "sampling_logprobs")]
        rows = zip(generations["prompt_text"], generations["text"], generations["token_ids"], sampled, strict=True)
        return [
            JudgedText(prompt, text, tuple(self._piece(token) for token in ids.tolist()), logprobs)
            for prompt, text, ids, logprobs in rows
        ]

    def _piece(self, token: int) -> str:
        """A token decoded alone."""
        if token not in self._pieces:
            self._pieces[token] = self.tokenizer.decode([token], skip_special_tokens=False)
        return self._pieces[token]


def _tuples(frame: pd.DataFrame, column: str) -> list[Any]:
    """A column of lists as tuples; None for every row where the table does not have it."""
    if column not in frame:
        return [None] * len(frame)
    return [None if value is None else tuple(value.tolist()) for value in frame[column]]
