"""From rows of text to rows of token ids, without padding: numpy only, ragged, in the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from tokenizers import Encoding, Tokenizer

from harness.data.families import ENCODERS, Family
from harness.data.tokenizer import copy_tokenizer, special_ids
from harness.errors import UserError

ARROW = " =>"  # ends a prompt of a conditional task; the target follows after one space

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """Encoded rows.

    Attributes:
        ids: token ids of all rows, one after the other; int32 [tokens].
        offsets: row i is ids[offsets[i]:offsets[i + 1]]; int64 [n + 1].
        labels: class ids, int64 [n], or None.
        second_from: where in row i the second segment begins, its length if there is none; int32 [n].
        loss_from: index in row i of the first token that counts in the loss (0 but for conditional rows); int32 [n].
    """

    ids: Ints
    offsets: Longs
    labels: Longs | None
    second_from: Ints
    loss_from: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Longs:
        """Tokens of each row, int64 [n]."""
        return np.diff(self.offsets)

    def length(self, i: int) -> int:
        """Tokens of row i."""
        return int(self.offsets[i + 1] - self.offsets[i])

    def row(self, i: int) -> Ints:
        """Token ids of row i (a view)."""
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def take(self, indices: Sequence[int] | Longs) -> Examples:
        """The rows at these indices, in this order; an index may occur several times."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Examples(
            *_ragged([self.row(int(i)) for i in chosen]),
            labels=None if self.labels is None else self.labels[chosen],
            second_from=self.second_from[chosen],
            loss_from=self.loss_from[chosen],
        )


def _ragged(rows: Sequence[Sequence[int] | Ints]) -> tuple[Ints, Longs]:
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    ids = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]) if rows else np.zeros(0, dtype=np.int32)
    return ids, offsets


def encode_classification(frame: pd.DataFrame, tokenizer: Tokenizer, max_length: int, family: Family) -> Examples:
    """Rows (text, optional text_pair, optional label) for a classifier, each at most `max_length` tokens.

    Encoders: the tokenizer's own template, [CLS] a [SEP] (b [SEP]) or <s> a </s> (</s> b </s>). `gpt2`: a, or a, a
    line end and b, and nothing else (the model classifies at the last token). Of a pair that is too long the longer
    text is cut, always at its end. A row without any token gets one end-of-text (or padding) token.

    Raises:
        UserError: `max_length` has no room for text.
    """
    texts = frame["text"].tolist()
    pairs = frame["text_pair"].tolist() if "text_pair" in frame.columns else None
    encode = _encode_template if family in ENCODERS else _encode_gpt2
    rows, second = encode(texts, pairs, tokenizer, max_length)
    labels = frame["label"].to_numpy(dtype=np.int64) if "label" in frame.columns else None
    none = np.zeros(len(rows), dtype=np.int32)
    return Examples(*_ragged(rows), labels=labels, second_from=np.asarray(second, dtype=np.int32), loss_from=none)


Encoded = tuple[list[list[int]], list[int]]


def _encode_template(texts: list[str], pairs: list[str] | None, tokenizer: Tokenizer, max_length: int) -> Encoded:
    room = tokenizer.num_special_tokens_to_add(pairs is not None) + (1 if pairs is None else 2)
    if max_length < room:
        raise UserError(f"max_length {max_length} is too small: special tokens and one token a text need {room}")
    cutting = copy_tokenizer(tokenizer)
    cutting.enable_truncation(max_length, strategy="longest_first")
    encoded = cutting.encode_batch(texts if pairs is None else list(zip(texts, pairs, strict=True)))
    rows = [encoding.ids or [_filler(tokenizer)] for encoding in encoded]
    return rows, [_second_from(encoding, len(row)) for encoding, row in zip(encoded, rows, strict=True)]


def _second_from(encoding: Encoding, length: int) -> int:
    """Where the second text begins: RoBERTa's template has type 0 throughout, and is asked for the text itself."""
    kinds = encoding.type_ids if 1 in encoding.type_ids else encoding.sequence_ids
    return kinds.index(1) if 1 in kinds else length


def _encode_gpt2(texts: list[str], pairs: list[str] | None, tokenizer: Tokenizer, max_length: int) -> Encoded:
    if max_length < (room := 1 if pairs is None else 2):
        raise UserError(f"max_length {max_length} is too small: one token a text needs {room}")
    firsts = _encode_all(tokenizer, texts)
    seconds = [[] for _ in texts] if pairs is None else _encode_all(tokenizer, ["\n" + text for text in pairs])
    rows, begins = [], []
    for first, second in zip(firsts, seconds, strict=True):
        keep = min(len(second), max(max_length - len(first), max_length // 2))
        begins.append(min(len(first), max_length - keep))
        rows.append(first[: max_length - keep] + second[:keep] or [_filler(tokenizer)])
    return rows, [begin if pairs is not None else len(row) for begin, row in zip(begins, rows, strict=True)]


def _encode_all(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


def _filler(tokenizer: Tokenizer) -> int:
    special = special_ids(tokenizer)
    return special.pad if special.eos is None else special.eos


def encode_stream(frame: pd.DataFrame, tokenizer: Tokenizer, separator: str) -> Ints:
    """All documents, joined by the separator, as one stream of ids: int32 [tokens]. No special tokens."""
    return np.asarray(tokenizer.encode(separator.join(frame["text"]), add_special_tokens=False).ids, dtype=np.int32)


def encode_conditional(frame: pd.DataFrame, tokenizer: Tokenizer, max_length: int) -> Examples:
    """Rows (source, target) as one sequence `source =>` + ` target` + end-of-text.

    The prompt (source and ARROW) and the target (with its leading space) are encoded apart, so that a prompt has the
    same ids in training and in generation; `loss_from` is the index of the target's first token.

    Raises:
        UserError: the tokenizer has no end-of-text token, or rows are longer than `max_length`: a reference that is
            silently cut gives a wrong number.
    """
    eos = special_ids(tokenizer).eos
    if eos is None:
        raise UserError("a conditional task needs a tokenizer with an end-of-text token (a GPT-2 model)")
    prompts = _encode_all(tokenizer, [source + ARROW for source in frame["source"]])
    targets = _encode_all(tokenizer, [" " + target for target in frame["target"]])
    rows = [prompt + target + [eos] for prompt, target in zip(prompts, targets, strict=True)]
    lengths = [len(row) for row in rows]
    if too_long := sum(length > max_length for length in lengths):
        raise UserError(f"{too_long} of {len(rows)} rows are longer than max_length {max_length}: needs {max(lengths)}")
    return Examples(
        *_ragged(rows),
        labels=None,
        second_from=np.asarray(lengths, dtype=np.int32),
        loss_from=np.asarray([len(prompt) for prompt in prompts], dtype=np.int32),
    )
