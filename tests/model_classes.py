"""One tiny model of every supported class, for tests that must hold for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor

WIDTH = 32
SPECIAL = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
BERT = {"vocab_size": 40, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, **SPECIAL}  # fmt: skip
DISTIL = {"vocab_size": 40, "dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, **SPECIAL}
GPT2 = {"vocab_size": 40, "n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 32, **SPECIAL}
# Narrower embeddings than layers, as in the published small model.
ELECTRA = {**BERT, "embedding_size": 16}

BERT_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
DISTIL_RATES = ("dropout", "attention_dropout", "seq_classif_dropout")
GPT2_RATES = ("embd_pdrop", "attn_pdrop", "resid_pdrop")


@dataclass(frozen=True)
class ModelClass:
    """A class of transformers, its configuration, and the names of the dropout rates in it."""

    name: str
    config: str
    values: dict[str, Any]
    rates: tuple[str, ...]
    layers: int = 2

    def build(self, attention: str = "sdpa", changes: Mapping[str, float] | None = None) -> Any:
        """A model as its class makes it, with changes of the configuration; the same weights each time."""
        torch.manual_seed(0)
        config = getattr(transformers, self.config)(**{**self.values, **(changes or {})})
        config._attn_implementation = attention
        return getattr(transformers, self.name)(config)


CLASSES = {
    "bert-classification": ModelClass("BertForSequenceClassification", "BertConfig", BERT, BERT_RATES),
    "bert-masked": ModelClass("BertForMaskedLM", "BertConfig", BERT, BERT_RATES),
    "roberta-classification": ModelClass("RobertaForSequenceClassification", "RobertaConfig", BERT, BERT_RATES),
    "roberta-masked": ModelClass("RobertaForMaskedLM", "RobertaConfig", BERT, BERT_RATES),
    "distilbert-classification": ModelClass(
        "DistilBertForSequenceClassification", "DistilBertConfig", DISTIL, DISTIL_RATES
    ),
    "distilbert-masked": ModelClass("DistilBertForMaskedLM", "DistilBertConfig", DISTIL, DISTIL_RATES),
    "electra-classification": ModelClass("ElectraForSequenceClassification", "ElectraConfig", ELECTRA, BERT_RATES),
    "electra-masked": ModelClass("ElectraForMaskedLM", "ElectraConfig", ELECTRA, BERT_RATES),
    "gpt2-classification": ModelClass("GPT2ForSequenceClassification", "GPT2Config", GPT2, GPT2_RATES),
    "gpt2-language": ModelClass("GPT2LMHeadModel", "GPT2Config", GPT2, GPT2_RATES),
    "distilgpt2-language": ModelClass("GPT2LMHeadModel", "GPT2Config", {**GPT2, "n_layer": 6}, GPT2_RATES, 6),
}


def tokens(rows: int = 4, length: int = 9) -> Tensor:
    """Token ids [rows, length], none of them padding."""
    return torch.randint(1, 40, (rows, length), generator=torch.Generator().manual_seed(1))


def logits(model: Any) -> Tensor:
    """What a model makes of `tokens` with the generator at a fixed state."""
    torch.manual_seed(3)
    output: Tensor = model(tokens()).logits
    return output
