"""GPT-2 and DistilGPT-2 (pre-LN): embeddings, attention probabilities, both sub-layer outputs, both skips, the head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from harness.regimes.anatomy import Anatomy, Layer, carrier, drop_skip
from harness.regimes.noise import Carrier
from harness.regimes.sites import family


@family("gpt2")
def gpt2(model: Any) -> Anatomy:
    """Sites of GPT2Model and its heads. A language model has no classifier and so no `head`."""
    body = model.transformer
    found = Anatomy(model, body.wte, [])
    found.add("embedding", body, "drop")
    for index, block in enumerate(body.h):
        found.add_attention(block.attn, block.attn.attn_dropout, index)
        found.add("sublayer", block.attn, "resid_dropout", index)
        found.add("sublayer", block.mlp, "dropout", index)
        branches = ((block.ln_1, block.attn), (block.ln_2, block.mlp))
        for norm, branch in branches:
            found.add_inserted("identity", drop_skip(norm, branch), index)
        found.layers.append(Layer(block, block.attn.c_proj, block.attn.num_heads, branches))
    if hasattr(model, "score"):
        found.add_inserted("head", _drop_input(model))
    return found


def _drop_input(model: Any) -> Carrier:
    """GPT2ForSequenceClassification has no dropout before its classifier; this is where BERT has one."""
    dropout = carrier(model, "head_dropout")

    def drop(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
        return None if dropout.asleep else (dropout(args[0]),)

    model.score.register_forward_pre_hook(drop)
    return dropout
