"""GPT-2 (pre-LN): embeddings, attention probabilities, both sub-layer outputs, both skips, the classifier's head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from harness.regimes.sites import Slot, family, insert, qualified


@family("gpt2")
def gpt2(model: Any) -> list[Slot]:
    """Sites of GPT2Model and its heads. A language model has no classifier and so no `head`."""
    slots = [_slot(model, "embedding", model.transformer.drop)]
    for block in model.transformer.h:
        slots.append(Slot("attention", block.attn.attn_dropout, qualified(model, block.attn)))
        slots.append(_slot(model, "sublayer", block.attn.resid_dropout))
        slots.append(_slot(model, "sublayer", block.mlp.dropout))
        for norm, branch in ((block.ln_1, block.attn), (block.ln_2, block.mlp)):
            slots.append(_slot(model, "identity", _drop_skip(norm, branch)))
    if hasattr(model, "score"):
        slots.append(_slot(model, "head", _drop_input(model)))
    return slots


def _slot(model: nn.Module, site: str, dropout: nn.Dropout) -> Slot:
    return Slot(site, dropout, qualified(model, dropout))


def _drop_skip(norm: nn.Module, branch: nn.Module) -> nn.Dropout:
    """Turns x + f(LN(x)) into drop(x) + f(LN(x)) without touching the block: adds drop(x) - x to the branch.

    x is the input of the layer norm in front of the branch (SIGUL 2024: the norm's input itself is not dropped).
    Equal to the explicit block up to rounding (about 1e-6 in float32), bit-equal at rate 0 and in eval mode.
    """
    dropout = insert(branch, "identity_dropout")
    skip: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        if dropout.p > 0.0 and dropout.training:
            skip[:] = [args[0]]

    def add(_: nn.Module, __: Any, output: Any) -> Any:
        if not skip:
            return None
        x = skip.pop()
        if isinstance(output, tuple):
            return (output[0] + (dropout(x) - x), *output[1:])
        return output + (dropout(x) - x)

    norm.register_forward_pre_hook(keep)
    branch.register_forward_hook(add)
    return dropout


def _drop_input(model: Any) -> nn.Dropout:
    """GPT2ForSequenceClassification has no dropout before its classifier; this is where BERT has one."""
    dropout = insert(model, "head_dropout")

    def drop(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
        return None if dropout.p == 0.0 else (dropout(args[0]),)

    model.score.register_forward_pre_hook(drop)
    return dropout
