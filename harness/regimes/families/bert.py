"""BERT (post-LN): embeddings, attention probabilities, both sub-layer outputs, both skips, the classifier's head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from harness.regimes.sites import Slot, family, insert, qualified


@family("bert")
def bert(model: Any) -> list[Slot]:
    """Sites of BertModel and the Bert heads. The identity branch is SIGUL 2024's: LN(drop(x) + f(x))."""
    slots = [_slot(model, "embedding", model.base_model.embeddings.dropout)]
    for layer in model.base_model.encoder.layer:
        attention = layer.attention.self
        # The attention's dropout module is never called: the kernel reads its `.p`.
        slots.append(Slot("attention", attention.dropout, qualified(model, attention)))
        for output in (layer.attention.output, layer.output):
            slots.append(_slot(model, "sublayer", output.dropout))
            slots.append(_slot(model, "identity", _drop_skip(output)))
    if isinstance(getattr(model, "dropout", None), nn.Dropout):
        slots.append(_slot(model, "head", model.dropout))
    return slots


def _slot(model: nn.Module, site: str, dropout: nn.Dropout) -> Slot:
    return Slot(site, dropout, qualified(model, dropout))


def _drop_skip(output: nn.Module) -> nn.Dropout:
    """Drops the second argument of `BertSelfOutput`/`BertOutput`, which those modules use only as the skip."""
    dropout = insert(output, "identity_dropout")

    def drop(_: nn.Module, args: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor] | None:
        return None if dropout.p == 0.0 else (args[0], dropout(args[1]))

    output.register_forward_pre_hook(drop)
    return dropout
