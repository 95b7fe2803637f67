"""What several test files share: tiny data, tiny grids, and where real data would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="real data and models are not beside this checkout")

THINGS = ("kettle", "ladder", "pillow", "bucket", "mirror", "candle", "saddle", "basket")
COLOURS = ("red", "blue", "green", "grey", "brown")


def invented_rows(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Sentences whose class is their colour's parity: enough for a loss to fall."""
    rows = []
    for i in range(start, start + count):
        colour = COLOURS[i % 5]
        tail = " and it stays there" * (i % 3)
        rows.append(
            (f"the {colour} {THINGS[(i * 7) % 8]} number {i} is here{tail}", "even" if i % 5 % 2 == 0 else "odd")
        )
    return rows


def write_data(folder: Path) -> None:
    """A CSV classification set and a text file."""
    for name, rows in (("train", invented_rows(96)), ("dev", invented_rows(32, 200)), ("test", invented_rows(40, 400))):
        lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"{name}.txt").write_text("\n".join(text for text, _ in rows) + "\n", encoding="utf-8")


def write_roberta_vocabulary(folder: Path, texts: list[str]) -> None:
    """vocab.json and merges.txt of a byte-level BPE with RoBERTa's special tokens at their published ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    tokenizer.model.save(str(folder))


TINY = {"layers": 1, "width": 16, "heads": 2, "positions": 48, "tokenizer": "char"}


def tiny_grid(**changes: Any) -> dict[str, Any]:
    """A grid that runs in seconds: CSV classification and a text language task, one-layer models."""
    grid: dict[str, Any] = {
        "name": "tiny",
        "seed": 5,
        "tasks": [{"csv": {"train": "train.csv", "validation": "dev.csv", "test": "test.csv", "label": "label"}}],
        "models": [{"scratch:bert-tiny": {**TINY, "pretrain_steps": 0}}],
        "regimes": {"none": {}, "standard-0.1": {"all": 0.1}},
        "training": {"steps": 6, "batch_size": 16, "learning_rate": 0.001, "max_length": 40},
        "replicates": {"training": {"count": 2}, "inference": {"count": 2}, "repeats": 0},
        "device": "cpu",
    }
    return {**grid, **changes}


TEXT_TASK = {"text": {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}}
LANGUAGE = {
    "tasks": [TEXT_TASK],
    "models": [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 0}}],
    "training": {"steps": 6, "batch_size": 4, "learning_rate": 0.003, "max_length": 32},
    "decoding": {"top_k": [1, 5, "all"], "max_new_tokens": 8, "prompts": 6, "prompt_tokens": 8},
}
