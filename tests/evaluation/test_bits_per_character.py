"""Bits per character: exact for a character tokenizer, and by an independent count for byte-level BPE."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toolbox import LANGUAGE, TINY

from harness.data.encode import encode_conditional
from harness.data.tokenizer import train_tokenizer
from harness.errors import CellError
from harness.evaluation.characters import count_characters
from harness.evaluation.evaluate import evaluate
from harness.evaluation.metrics import TextLoss, text_metrics
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, start_model
from harness.training.inputs import Inputs, Stream

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "the café costs 3 €, naïve 日本 and 🙂 again. " * 30


def made(grid: dict[str, Any], home: Path) -> tuple[Any, Inputs]:
    store = Store(home / "results")
    cell = expand(parse_grid(grid, "grid"), store, None).training[0]
    inputs = Worker(store).inputs(cell.problem)
    return start_model(store, cell, inputs), inputs


def language(tokenizer: str) -> dict[str, Any]:
    shape = {**TINY, "tokenizer": tokenizer, "pretrain_steps": 0}
    return {
        **LANGUAGE,
        "models": [{"scratch:gpt2-tiny": {**shape, "vocabulary": 400} if tokenizer == "bpe" else shape}],
    }


def test_a_character_tokenizers_is_the_loss_in_bits(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(**language("char")), home)
    metrics = evaluate(model, inputs.splits["test"], inputs, "gpt2", ()).metrics
    assert metrics["bits-per-character"] == pytest.approx(metrics["loss"] / math.log(2), rel=1e-12)


def test_unknown_characters_count_once_and_ends_of_text_not_at_all() -> None:
    tokenizer = train_tokenizer("char", ["abc"], 20, "gpt2")
    ids = tokenizer.encode("axbzz").ids
    unknown, end = (int(tokenizer.token_to_id(name) or 0) for name in ("<|unk|>", "<|endoftext|>"))
    assert ids.count(unknown) == 3
    assert count_characters(tokenizer, [[*ids, end], [end]]) == 5


def test_byte_level_tokens_are_counted_by_what_they_decode_to_together(tiny: Any, home: Path) -> None:
    (home / "test.txt").write_text(TEXT, encoding="utf-8")
    model, inputs = made(tiny(**language("bpe")), home)
    split = inputs.splits["test"]
    assert isinstance(split, Stream)
    result = evaluate(model, split, inputs, "gpt2", ())
    blocks = (len(split.ids) - 1) // split.block
    # Some tokens are parts of a character: decoded one by one they would not be the text.
    assert any("\ufffd" in inputs.tokenizer.decode([int(token)]) for token in split.ids)
    whole = inputs.tokenizer.decode(split.ids[: blocks * split.block + 1].tolist())
    first = inputs.tokenizer.decode(split.ids[:1].tolist())
    assert TEXT.startswith(whole.rstrip("\ufffd"))
    nats = result.metrics["loss"] * blocks * split.block
    expected = nats / (math.log(2) * (len(whole) - len(first)))
    assert result.metrics["bits-per-character"] == pytest.approx(expected, rel=1e-12)
    assert blocks * split.block > len(whole) - len(first)  # bits per token would be another number


def test_a_conditional_tasks_targets_with_their_space_and_without_the_end(tiny: Any, home: Path) -> None:
    rows = pd.DataFrame({"source": [f"name {i}" for i in range(12)], "target": [f"it is né {i}" for i in range(12)]})
    model, inputs = made(tiny(**language("bpe")), home)
    split = encode_conditional(rows, inputs.tokenizer, 64)
    inputs = Inputs("conditional", inputs.data, inputs.tokenizer, inputs.special, {"test": split})
    result = evaluate(model, split, inputs, "gpt2", ())
    nats = float((result.predictions["loss"] * result.predictions["targets"]).sum())
    characters = sum(len(" " + target) for target in rows["target"])
    assert result.metrics["bits-per-character"] == pytest.approx(nats / math.log(2) / characters, rel=1e-9)


def test_values_by_hand_and_what_has_none() -> None:
    metrics = text_metrics(TextLoss(loss=math.log(2), targets=10, characters=5))
    assert metrics == pytest.approx({"perplexity": 2.0, "bits-per-character": 2.0})
    with pytest.raises(CellError, match="no character"):
        text_metrics(TextLoss(1.0, 3, 0))
    with pytest.raises(CellError, match="at least one predicted token"):
        text_metrics(TextLoss(1.0, 0, 0))
    assert np.isfinite(text_metrics(TextLoss(1e6, 1, 1))["perplexity"])
