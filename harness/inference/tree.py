"""The growing texts as a model sees them: rows that share every token so far share one row of its batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class PrefixTree:
    """Next-token logits of many texts, each distinct one computed once.

    Attributes:
        logits: [N, V] of the next token after each distinct text.
        node: int64 [R], which of the N each live row is at.
    """

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]], fewest: int) -> None:
        """Reads the prompts, each distinct one once.

        Args:
            model: a causal language model of transformers.
            prompts: token ids of each row, all of one length.
            fewest: no forward has fewer rows; repeats of the last one fill it.
        """
        distinct = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
        self._model, self._fewest = model, fewest
        self._cache = key_value_cache(model.config)
        device = next(model.parameters()).device
        self.node = torch.tensor([distinct[prompt] for prompt in prompts], device=device)
        self.logits = self._forward(self._padded(torch.tensor(list(distinct), device=device)), len(distinct))

    def advance(self, tokens: Tensor, going: Tensor) -> None:
        """Appends a token to the rows that go on; the others leave, and so do texts that no row is at.

        Args:
            tokens: int64 [R'], of the rows that go on.
            going: bool [R], which rows these are.
        """
        vocabulary = self.logits.shape[1]
        edges, self.node = torch.unique(self.node[going] * vocabulary + tokens, return_inverse=True)
        padded = self._padded(edges)
        parents = padded // vocabulary
        if not torch.equal(parents, torch.arange(self._batch, device=parents.device)):
            self._cache.batch_select_indices(parents)
        self.logits = self._forward((padded % vocabulary)[:, None], len(edges))

    def _padded(self, rows: Tensor) -> Tensor:
        """`rows` with the last one repeated until there are enough."""
        missing = max(0, self._fewest - len(rows))
        return torch.cat([rows, *[rows[-1:]] * missing])

    def _forward(self, tokens: Tensor, real: int) -> Tensor:
        """Logits [real, V] after token ids [N, L], of which those beyond `real` rows only fill the batch."""
        output = self._model(input_ids=tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._batch = len(tokens)
        return output.logits[:real, -1]  # type: ignore[no-any-return]


def key_value_cache(config: Any) -> Any:
    """The cache that transformers has for a model, with layers that reuse memory in place of its plain growing ones."""
    cache = DynamicCache(config=config)
    spare = _Spare()
    cache.layers = [ReusingLayer(spare) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _Spare:
    """One block of memory that is not in use. Who takes it gives another one back.

    A tensor that grows at every step is a new one each time, and to touch new memory costs a CPU more than to copy
    what belongs into it (measured: twice as much).
    """

    def __init__(self) -> None:
        self._block: Tensor | None = None

    def swap(self, like: Tensor, shape: tuple[int, ...], block: Tensor | None) -> tuple[Tensor, Tensor]:
        """Takes the spare block, or a larger one where it is too small; `block` is the spare one from now on.

        Returns: the block, and its first elements as a contiguous tensor of the shape.
        """
        taken, self._block = self._block, block
        size = math.prod(shape)
        if taken is None or taken.numel() < size:
            # A quarter of room: texts grow, and so does the number of distinct ones.
            taken = torch.empty(size + size // 4, dtype=like.dtype, device=like.device)
        return taken, taken[:size].view(shape)


class ReusingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [N, heads, length, head size] of one layer, contiguous as in DynamicLayer, in reused memory.

    Choosing rows waits for the next token, so that a step moves everything once.
    """

    def __init__(self, spare: _Spare) -> None:
        super().__init__()
        self._spare = spare
        self._blocks: list[Tensor | None] = [None, None]
        self._order: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Appends states [N, heads, new, head size]; returns all keys and all values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
        self.keys, self.values = self._grown(0, self.keys, key_states), self._grown(1, self.values, value_states)
        self._order = None
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """From the next update on, row i is the former row `indices[i]`."""
        if self.get_seq_length():
            self._order = indices if self._order is None else self._order[indices]

    def _grown(self, which: int, old: Tensor, new: Tensor) -> Tensor:
        length = old.shape[2]
        shape = (len(new), new.shape[1], length + new.shape[2], new.shape[3])
        self._blocks[which], grown = self._spare.swap(new, shape, self._blocks[which])
        if self._order is None:
            return torch.cat([old, new], dim=2, out=grown)
        torch.index_select(old, 0, self._order, out=grown[:, :, :length])
        grown[:, :, length:] = new
        return grown
