"""Scratch presets: small shapes of every family, pretrained on the task's own corpus and cached by content."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.data.families import Family, first_position


@dataclass(frozen=True)
class Shape:
    """Size of a scratch model. Shapes are those of Turc et al. 2019 (arXiv 1908.08962): tiny 2/128, mini 4/256."""

    family: Family
    layers: int
    width: int
    heads: int
    positions: int
    pretrain_steps: int

    def config(self, vocabulary: int, pad: int = 0) -> dict[str, Any]:
        """Keyword arguments of the transformers configuration. Every dropout rate is 0: regimes set them.

        Args:
            vocabulary: number of token ids.
            pad: id of padding.
        """
        if self.family == "gpt2":
            return _gpt2(self, vocabulary)
        return _distilbert(self, vocabulary) if self.family == "distilbert" else _bert(self, vocabulary, pad)

    def describe(self) -> dict[str, Any]:
        """Canonical form for identities."""
        return asdict(self)


def _bert(shape: Shape, vocabulary: int, pad: int) -> dict[str, Any]:
    """BERT, and what differs from it in RoBERTa and ELECTRA."""
    own: dict[str, dict[str, Any]] = {
        "roberta": {"type_vocab_size": 1},
        "electra": {"embedding_size": shape.width, "summary_last_dropout": 0.0},
    }
    return {
        "vocab_size": vocabulary,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": 4 * shape.width,
        "max_position_embeddings": shape.positions + first_position(shape.family, pad),
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": 0.0,
        **own.get(shape.family, {}),
    }


def _distilbert(shape: Shape, vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "dim": shape.width,
        "n_layers": shape.layers,
        "n_heads": shape.heads,
        "hidden_dim": 4 * shape.width,
        "max_position_embeddings": shape.positions,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "qa_dropout": 0.0,
        "seq_classif_dropout": 0.0,
    }


def _gpt2(shape: Shape, vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_positions": shape.positions,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "summary_first_dropout": 0.0,
        # The function of GPT-2's gelu_new, in one fused kernel.
        "activation_function": "gelu_pytorch_tanh",
    }


PRESETS: dict[str, Shape] = {
    "bert-tiny": Shape("bert", layers=2, width=128, heads=2, positions=128, pretrain_steps=200),
    "bert-mini": Shape("bert", layers=4, width=256, heads=4, positions=128, pretrain_steps=500),
    "bert-small": Shape("bert", layers=4, width=512, heads=8, positions=128, pretrain_steps=1000),
    "roberta-tiny": Shape("roberta", layers=2, width=128, heads=2, positions=128, pretrain_steps=200),
    "distilbert-tiny": Shape("distilbert", layers=2, width=128, heads=2, positions=128, pretrain_steps=200),
    "electra-tiny": Shape("electra", layers=2, width=128, heads=2, positions=128, pretrain_steps=200),
    "gpt2-tiny": Shape("gpt2", layers=2, width=128, heads=2, positions=128, pretrain_steps=200),
    "gpt2-mini": Shape("gpt2", layers=4, width=256, heads=4, positions=256, pretrain_steps=500),
    "gpt2-small": Shape("gpt2", layers=4, width=512, heads=8, positions=256, pretrain_steps=1000),
}
