"""Model families, and what their models read: the one place that says which are encoders.

A family is what transformers calls a `model_type`; DistilGPT-2 is a `gpt2` with fewer layers.
"""

from __future__ import annotations

from typing import Literal, get_args

Family = Literal["bert", "roberta", "distilbert", "electra", "gpt2"]
FAMILIES: tuple[Family, ...] = get_args(Family)
# They see a whole text at once: they classify, are pretrained by masking, and cannot generate.
ENCODERS: tuple[Family, ...] = ("bert", "roberta", "distilbert", "electra")
# They tell the two texts of a pair apart by `token_type_ids`; the others only by the separator.
SEGMENTED: tuple[Family, ...] = ("bert", "electra")


def first_position(family: str, pad: int) -> int:
    """Index of a text's first token among the position embeddings: RoBERTa counts on from its padding's id.

    So its `max_position_embeddings` of 514 serve 512 tokens: those of padding (id 1) and before it are never a token's.
    """
    return pad + 1 if family == "roberta" else 0
