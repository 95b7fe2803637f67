"""How many characters the targets of a language model are: what bits per character are counted by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.data.tokenizer import NAMES

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def count_characters(tokenizer: Tokenizer, rows: Sequence[Sequence[int]]) -> int:
    """Characters (Unicode code points) of the texts that these token ids decode to.

    Each row is decoded as a whole, because a byte-level token may hold a part of a character only. Where a row itself
    begins or ends inside a character, that character counts as the replacement signs that it decodes to: at most a
    few at the borders of what was evaluated. An unknown token stands for one character (a character tokenizer makes
    one for each); other special tokens, such as the end of a text, have none.

    Args:
        tokenizer: the model's.
        rows: token ids of each text.
    """
    added = tokenizer.get_added_tokens_decoder()
    unknown = {number for number, token in added.items() if token.special and token.content in NAMES["unk"]}
    texts = tokenizer.decode_batch([list(row) for row in rows], skip_special_tokens=True)
    return sum(map(len, texts)) + (sum(token in unknown for row in rows for token in row) if unknown else 0)
