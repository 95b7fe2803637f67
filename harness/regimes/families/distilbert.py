"""DistilBERT (post-LN, additions in line): as BERT, with the dropout after the attention inserted."""

from __future__ import annotations

from typing import Any

from torch import nn

from harness.regimes.anatomy import Anatomy, Layer, carrier, drop_skip, first, replaced
from harness.regimes.noise import Carrier
from harness.regimes.sites import family


@family("distilbert")
def distilbert(model: Any) -> Anatomy:
    """Sites of DistilBertModel and its heads.

    The class has no dropout after the attention's output layer; it is inserted, so that `sublayer` means what it
    means in BERT. The skips are dropped by adding drop(x) - x to the branch.
    """
    body = model.base_model
    found = Anatomy(model, body.embeddings.word_embeddings, [])
    found.add("embedding", body.embeddings, "dropout")
    for index, layer in enumerate(body.transformer.layer):
        attention = layer.attention
        found.add_attention(attention, attention.dropout, index)
        found.add_inserted("sublayer", _drop_output(attention), index)
        found.add("sublayer", layer.ffn, "dropout", index)
        for branch in (attention, layer.ffn):
            found.add_inserted("identity", drop_skip(branch, branch), index)
        found.layers.append(Layer(layer, attention.out_lin, attention.n_heads))
    if isinstance(getattr(model, "dropout", None), nn.Dropout):
        found.add("head", model, "dropout")
    return found


def _drop_output(attention: nn.Module) -> Carrier:
    """The dropout that BERT has after the attention's output layer."""
    dropout = carrier(attention, "output_dropout")

    def drop(_: nn.Module, __: Any, output: Any) -> Any:
        # Called at rate 0 as well: other mechanisms hook on this module.
        return replaced(output, dropout(first(output)))

    attention.register_forward_hook(drop)
    return dropout
