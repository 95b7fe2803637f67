"""What a training cell reads: its splits as token ids, and how a micro-batch of them becomes tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harness.data.assets import corpus, task_data, tokenizer_for
from harness.data.encode import Examples, encode_classification, encode_conditional, encode_stream
from harness.data.families import SEGMENTED, first_position
from harness.data.subset import with_train_size
from harness.data.task import Kind, TaskData
from harness.data.tokenizer import SpecialTokens, special_ids
from harness.errors import CellError
from harness.spec.cells import Problem
from harness.spec.steps import stream_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IGNORED = -100  # the target that torch's cross-entropy leaves out
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """A language model's split: one stream of token ids, read in blocks."""

    ids: npt.NDArray[np.int32]
    block: int

    def blocks(self, offset: int) -> int:
        """Number of whole blocks from `offset` on; each needs one token more, its last target."""
        return (len(self.ids) - 1 - offset) // self.block

    def window(self, index: int, offset: int) -> npt.NDArray[np.int32]:
        """Block `index`: `block` + 1 tokens, the inputs and the last target."""
        start = offset + index * self.block
        return self.ids[start : start + self.block + 1]


Split = Examples | Stream


@dataclass(frozen=True)
class Inputs:
    """The encoded splits of one problem."""

    kind: Kind
    data: TaskData
    tokenizer: Tokenizer
    special: SpecialTokens
    splits: dict[str, Split]


def read_inputs(problem: Problem, cache: Path) -> Inputs:
    """Reads and encodes every split of a problem; of the training split only what its `train_size` leaves.

    Raises:
        CellError: the data is not what the cell's identity says: it changed after planning.
    """
    data, fingerprint = task_data(problem.task, dict(problem.options), problem.data)
    if fingerprint != problem.fingerprint:
        raise CellError(f"the data of task {problem.task} changed while the grid was running")
    tokenizer = tokenizer_for(problem.model, data, fingerprint, cache)
    # After the tokenizer, which is the whole corpus's at every size.
    data = with_train_size(data, problem.train_size, problem.seed)
    splits = {name: _encode(problem, data, name, tokenizer) for name in data.splits}
    return Inputs(data.kind, data, tokenizer, special_ids(tokenizer), splits)


def _encode(problem: Problem, data: TaskData, split: str, tokenizer: Tokenizer) -> Split:
    frame = data.splits[split]
    if data.kind == "classification":
        return encode_classification(frame, tokenizer, problem.max_length, problem.model.family)
    if data.kind == "conditional":
        return encode_conditional(frame, tokenizer, problem.max_length)
    ids = encode_stream(frame, tokenizer, data.separator)
    if split == "train" and problem.train_size is not None:
        ids = ids[: stream_tokens(problem.train_size, problem.max_length)]
    return Stream(ids, problem.max_length)


def pretraining_split(problem: Problem, inputs: Inputs) -> Split:
    """The training texts as a base is pretrained on them: examples for encoders, one stream for GPT-2."""
    if problem.model.encoder or inputs.kind == "language":
        return inputs.splits["train"]
    import pandas as pd

    texts = pd.DataFrame({"text": corpus(inputs.data)})
    return Stream(encode_stream(texts, inputs.tokenizer, "\n"), problem.max_length)


@dataclass(frozen=True)
class MicroBatch:
    """Tensors of one forward: what the model reads, and the targets of the loss.

    Attributes:
        inputs: keyword arguments of the model; every tensor [examples, tokens].
        targets: class ids [examples] or token ids [examples, tokens] with IGNORED where no loss is due.
        rows: positions of the examples in their split.
    """

    inputs: dict[str, Tensor]
    targets: Tensor
    rows: Indices

    @property
    def count(self) -> int:
        """How many terms its loss sums: examples, or predicted tokens."""
        return int((self.targets != IGNORED).sum())

    def repeated(self, times: int) -> MicroBatch:
        """Every example `times` times: first all, then all again."""
        inputs = {name: torch.cat([tensor] * times) for name, tensor in self.inputs.items()}
        return MicroBatch(inputs, torch.cat([self.targets] * times), np.tile(self.rows, times))

    def to(self, device: torch.device) -> MicroBatch:
        """The same on another device."""
        moved = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return MicroBatch(moved, self.targets.to(device), self.rows)


def collate(split: Split, rows: Indices, inputs: Inputs, family: str, offset: int = 0) -> MicroBatch:
    """Tensors of the given examples or blocks, padded on the right to the longest of them."""
    if isinstance(split, Stream):
        windows = torch.from_numpy(np.stack([split.window(int(row), offset) for row in rows]).astype(np.int64))
        return MicroBatch({"input_ids": windows[:, :-1]}, windows[:, 1:], rows)
    ids, mask = _pad(split, rows, inputs.special.pad)
    tensors = {"input_ids": ids, "attention_mask": mask}
    if inputs.kind == "conditional":
        return _conditional(split, rows, tensors)
    if family in SEGMENTED:
        tensors["token_type_ids"] = _segments(split, rows, ids.shape[1]) * mask
    if first := first_position(family, inputs.special.pad):
        tensors["position_ids"] = _positions(mask, first)
    assert split.labels is not None
    return MicroBatch(tensors, torch.from_numpy(split.labels[rows]), rows)


def _pad(split: Examples, rows: Indices, pad: int) -> tuple[Tensor, Tensor]:
    lengths = split.lengths[rows]
    ids = np.full((len(rows), int(lengths.max())), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        start, length = int(split.offsets[row]), int(lengths[i])
        ids[i, :length] = split.ids[start : start + length]
        mask[i, :length] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _segments(split: Examples, rows: Indices, width: int) -> Tensor:
    positions = np.arange(width)[None, :]
    return torch.from_numpy((positions >= split.second_from[rows][:, None]).astype(np.int64))


def _positions(mask: Tensor, first: int) -> Tensor:
    """RoBERTa's positions, [examples, tokens], from `first` on; of padding the one before.

    The class makes the same ones from the ids. Given here, they also hold where masked-language-model corruption
    drew the padding id for a real token, which would shift every later position.
    """
    return torch.where(mask == 1, torch.arange(first, first + mask.shape[1]), first - 1)


def _conditional(split: Examples, rows: Indices, tensors: dict[str, Tensor]) -> MicroBatch:
    """Next-token targets from the first token of the target text on; the source is read, not learnt."""
    ids, mask = tensors["input_ids"], tensors["attention_mask"]
    targets = ids[:, 1:].clone()
    positions = torch.arange(1, ids.shape[1])[None, :]
    first = torch.from_numpy(split.loss_from[rows].astype(np.int64))[:, None]
    targets[(positions < first) | (mask[:, 1:] == 0)] = IGNORED
    return MicroBatch({name: tensor[:, :-1] for name, tensor in tensors.items()}, targets, rows)


def corrupt(batch: MicroBatch, inputs: Inputs, generators: list[np.random.Generator], vocabulary: int) -> MicroBatch:
    """Masked-language-model corruption (Devlin et al. 2019): 15 % of the tokens, of which 80/10/10 mask/random/kept.

    Args:
        batch: a padded batch of an encoder's examples.
        generators: one keyed generator per example; the draws also depend on the width of the padded batch.
        vocabulary: random tokens are drawn from all ids.
    """
    ids = batch.inputs["input_ids"].numpy().copy()
    real = batch.inputs["attention_mask"].numpy().astype(bool)
    special = inputs.special
    real &= ~np.isin(ids, [i for i in (special.cls, special.sep, special.pad) if i is not None])
    targets = np.full_like(ids, IGNORED)
    for row, generator in enumerate(generators):
        chosen = real[row] & (generator.random(ids.shape[1]) < 0.15)
        targets[row, chosen] = ids[row, chosen]
        fate, other = generator.random(ids.shape[1]), generator.integers(0, vocabulary, size=ids.shape[1:])
        ids[row, chosen & (fate < 0.8)] = special.mask
        ids[row, chosen & (fate >= 0.9)] = other[chosen & (fate >= 0.9)]
    tensors: dict[str, Any] = {**batch.inputs, "input_ids": torch.from_numpy(ids)}
    return MicroBatch(tensors, torch.from_numpy(targets), batch.rows)
