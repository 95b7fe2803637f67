"""Checks that need the data, the tokenizer or several axes at once: what can be refused before training is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.data.encode import conditional_prompts, encode_conditional, encode_stream, stream_prompts
from harness.data.task import TaskData
from harness.errors import UserError, nearest
from harness.spec.grid import Decoding, Training
from harness.spec.models import Model

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def check_select(training: Training, data: TaskData, where: str) -> None:
    """Refuses a selection by a metric that the task does not have."""
    if training.select == "last":
        return
    metrics = ["loss", *(("perplexity",) if data.kind != "classification" else ()), *data.metrics]
    metric = training.select.removeprefix("validation.")
    if metric not in metrics:
        raise UserError(f"{where}: training.select: no metric '{metric}'{nearest(metric, metrics)}")


def check_labels(names: list[str], where: str) -> None:
    """Refuses two models that tables could not tell apart."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{where}: models: two models would both be called '{twice[0]}' in tables")


def check_lengths(training: Training, data: TaskData, tokenizer: Tokenizer, where: str) -> None:
    """Refuses conditional rows that would have to be cut, and a split that is shorter than one block.

    No tokenizer here makes more tokens than a text has bytes, so only rows and splits in doubt are encoded.
    """
    block = training.max_length
    for split, frame in data.splits.items():
        if data.kind == "conditional":
            sizes = [len(f"{row.source}{row.target}".encode()) for row in frame.itertuples()]
            doubtful = frame[[size + 8 > block for size in sizes]]
            try:
                encode_conditional(doubtful, tokenizer, block)
            except UserError as error:
                raise UserError(f"{where}: training.max_length: split '{split}': {error}") from None
        elif data.kind == "language" and int(frame["text"].str.len().sum()) < 64 * block:
            tokens = len(encode_stream(frame, tokenizer, data.separator))
            if tokens <= block:
                raise UserError(f"{where}: training.max_length {block}: split '{split}' has only {tokens} tokens")


def check_prompts(decoding: Decoding, data: TaskData, tokenizer: Tokenizer, model: Model, where: str) -> None:
    """Refuses a generation that is longer than the positions, and a test split with too few prompts."""
    test = data.splits["test"]
    longest = decoding.prompt_tokens
    if data.kind == "conditional":
        longest = max(len(prompt.token_ids) for prompt in conditional_prompts(test, tokenizer, decoding.prompts))
    if longest + decoding.max_new_tokens > model.positions:
        raise UserError(
            f"{where}: decoding: {longest} prompt tokens + {decoding.max_new_tokens} new tokens exceed the model's "
            f"{model.positions} positions"
        )
    if data.kind == "language":
        stream = encode_stream(test, tokenizer, data.separator)
        stream_prompts(stream, tokenizer, decoding.prompts, decoding.prompt_tokens)
