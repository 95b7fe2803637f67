"""Scratch presets: small BERT and GPT-2 shapes, pretrained on the task's own corpus and cached by content."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Family = Literal["bert", "gpt2"]


@dataclass(frozen=True)
class Shape:
    """Size of a scratch model. Shapes are those of Turc et al. 2019 (arXiv 1908.08962): tiny 2/128, mini 4/256."""

    family: Family
    layers: int
    width: int
    heads: int
    positions: int
    pretrain_steps: int

    def config(self, vocabulary: int) -> dict[str, Any]:
        """Keyword arguments of the transformers configuration. Every dropout rate is 0: regimes set them."""
        if self.family == "bert":
            return {
                "vocab_size": vocabulary,
                "hidden_size": self.width,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "intermediate_size": 4 * self.width,
                "max_position_embeddings": self.positions,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
                "classifier_dropout": 0.0,
            }
        return {
            "vocab_size": vocabulary,
            "n_embd": self.width,
            "n_layer": self.layers,
            "n_head": self.heads,
            "n_positions": self.positions,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "summary_first_dropout": 0.0,
            # The function of GPT-2's gelu_new, in one fused kernel.
            "activation_function": "gelu_pytorch_tanh",
        }

    def describe(self) -> dict[str, Any]:
        """Canonical form for identities."""
        return asdict(self)


PRESETS: dict[str, Shape] = {
    "bert-tiny": Shape("bert", layers=2, width=128, heads=2, positions=128, pretrain_steps=200),
    "bert-mini": Shape("bert", layers=4, width=256, heads=4, positions=128, pretrain_steps=500),
    "bert-small": Shape("bert", layers=4, width=512, heads=8, positions=128, pretrain_steps=1000),
    "gpt2-tiny": Shape("gpt2", layers=2, width=128, heads=2, positions=128, pretrain_steps=200),
    "gpt2-mini": Shape("gpt2", layers=4, width=256, heads=4, positions=256, pretrain_steps=500),
    "gpt2-small": Shape("gpt2", layers=4, width=512, heads=8, positions=256, pretrain_steps=1000),
}
