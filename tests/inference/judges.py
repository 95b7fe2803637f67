"""Tiny models with tokenizers in folders of their own, as a judge of texts is loaded from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from toolbox import invented_rows
from transformers import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel

from harness.data.tokenizer import save_tokenizer, train_tokenizer
from harness.spec.models import Checkpoint, resolve_checkpoint

TEXTS = [text for text, _ in invented_rows(60)]


def byte_tokenizer() -> Tokenizer:
    return train_tokenizer("bpe", TEXTS, 300, "gpt2")


def character_tokenizer() -> Tokenizer:
    return train_tokenizer("char", TEXTS, 300, "gpt2")


def causal_folder(folder: Path, tokenizer: Tokenizer, positions: int = 64, end: int | None = 0) -> Checkpoint:
    """A random GPT-2 whose softmax is not flat."""
    config = GPT2Config(
        n_layer=2,
        n_embd=32,
        n_head=2,
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=positions,
        initializer_range=0.2,
        bos_token_id=end,
        eos_token_id=end,
    )
    return _saved(folder, GPT2LMHeadModel, config, tokenizer)


def encoder_folder(folder: Path, kind: Any = BertModel) -> Checkpoint:
    """A random BERT."""
    tokenizer = train_tokenizer("bpe", TEXTS, 300, "bert")
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=40,
        initializer_range=0.2,
        pad_token_id=0,
    )
    return _saved(folder, kind, config, tokenizer)


def words_tokenizer() -> Tokenizer:
    """Knows seven words by name and no character."""
    words = ["<|endoftext|>", "<unk>", "a", "red", "cup", "is", "here"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def _saved(folder: Path, kind: Any, config: Any, tokenizer: Tokenizer) -> Checkpoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind(config).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return resolve_checkpoint(str(folder), "test")
