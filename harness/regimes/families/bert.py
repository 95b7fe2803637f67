"""BERT and what is built like it (post-LN): RoBERTa and ELECTRA differ in the classifier's head only."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from harness.regimes.anatomy import Anatomy, Layer, carrier
from harness.regimes.noise import Carrier
from harness.regimes.sites import family


@family("bert", "roberta", "electra")
def bert(model: Any) -> Anatomy:
    """Embeddings, attention probabilities, both sub-layer outputs, both skips, the classifier's head.

    The identity branch is SIGUL 2024's: LN(drop(x) + f(x)). The heads of RoBERTa and ELECTRA call their dropout twice:
    on the features and after the dense layer.
    """
    body = model.base_model
    found = Anatomy(model, body.embeddings.word_embeddings, [])
    found.add("embedding", body.embeddings, "dropout")
    for index, layer in enumerate(body.encoder.layer):
        attention = layer.attention.self
        found.add_attention(attention, attention.dropout, index)
        for output in (layer.attention.output, layer.output):
            found.add("sublayer", output, "dropout", index)
            found.add_inserted("identity", _drop_skip(output), index)
        found.layers.append(Layer(layer, layer.attention.output.dense, attention.num_attention_heads))
    if isinstance(getattr(model, "dropout", None), nn.Dropout):
        found.add("head", model, "dropout")
    elif isinstance(getattr(getattr(model, "classifier", None), "dropout", None), nn.Dropout):
        found.add("head", model.classifier, "dropout", calls=2)
    return found


def _drop_skip(output: nn.Module) -> Carrier:
    """Drops the second argument of `*SelfOutput` and `*Output`, which those modules use only as the skip."""
    dropout = carrier(output, "identity_dropout")

    def drop(_: nn.Module, args: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        return None if dropout.asleep else (args[0], dropout(args[1]))

    output.register_forward_pre_hook(drop)
    return dropout
