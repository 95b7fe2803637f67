"""One pass over a checkpoint: every (prompt, setting, decode level) becomes one row of a batch.

A row's text is a pure function of the checkpoint, the prompt, the setting, the level and the study seed, whatever
else was asked for. On a CPU with ONE torch thread that holds for every bit, because rows of one batch have prompts of
exactly one length (nothing is padded) and no forward has fewer than four rows (`probe.row_independence` checks it).

Rows whose tokens are all equal so far are one row of the model's batch: a prompt is read once, and settings that agree
(k=40 and `all` of a sharp model mostly do) are computed once until they part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise, product
from typing import Any

import torch
from torch import Tensor

from harness.errors import CellError
from harness.evaluation.mode import eval_mode
from harness.inference import noise
from harness.inference.sampler import Draw, sample
from harness.request import Generated, Prompt, Setting

# One thread and at least this many rows make a row's logits independent of its neighbours on CPUs: products of fewer
# rows take another path through the matrix library, which rounds differently.
FEWEST_ROWS = 4


@dataclass(frozen=True)
class Row:
    """One text to generate."""

    prompt: Prompt
    setting: Setting
    level: int


def generate(
    model: Any,
    prompts: Sequence[Prompt],
    settings: Sequence[Setting],
    levels: Sequence[int],
    *,
    seed: int,
    max_new_tokens: int,
    eos_token_id: int | None,
    rows: int = 256,
) -> list[Generated]:
    """Generates all prompts x settings x levels.

    Args:
        model: a causal language model of transformers; its `generation_config` is not looked at. It is put in eval
            mode and given back as it was.
        prompts: equal ones (by content) are generated once.
        settings: put into canonical form first; equal ones are generated once.
        levels: levels of the decode role. Greedy does not depend on it: it comes once per prompt, at level 0.
        seed: the study seed.
        max_new_tokens: length limit of every text, the end-of-text token included.
        eos_token_id: ends a text; None lets every text run to its limit.
        rows: at most so many rows in a batch; bounds the memory, does not change a text.

    Returns: one entry per distinct row, in the order asked: prompts, within them settings, within them levels.

    Raises:
        CellError: a prompt is empty or longer than the model's positions allow, a setting or token id is impossible,
            or the model gives numbers that are not finite.
    """
    asked = distinct_rows(prompts, settings, levels, model.config.vocab_size)
    _check(asked, model.config, max_new_tokens, rows)
    done: dict[Row, Generated] = {}
    with eval_mode(model):
        for chunk in _chunks(asked, rows):
            texts = _generate_chunk(model, chunk, seed, max_new_tokens, eos_token_id)
            done.update(zip(chunk, texts, strict=True))
    return [done[row] for row in asked]


def distinct_rows(
    prompts: Sequence[Prompt], settings: Sequence[Setting], levels: Sequence[int], vocabulary: int
) -> list[Row]:
    """The texts that such a request has, each once, in the order asked."""
    own_prompts: dict[tuple[int, ...], Prompt] = {}
    for prompt in prompts:
        own_prompts.setdefault(prompt.token_ids, prompt)
    own_settings = dict.fromkeys(setting.canonical(vocabulary) for setting in settings)
    rows = (
        Row(prompt, setting, 0 if setting.greedy else level)
        for prompt, setting, level in product(own_prompts.values(), own_settings, levels)
    )
    return list(dict.fromkeys(rows))


def _check(asked: Sequence[Row], config: Any, max_new_tokens: int, rows: int) -> None:
    if max_new_tokens < 1 or rows < 1:
        raise CellError(f"max_new_tokens and rows must be at least 1, not {max_new_tokens} and {rows}")
    for prompt in {row.prompt for row in asked}:
        length = len(prompt.token_ids)
        if not length:
            raise CellError(f"the prompt {prompt.text!r} has no tokens")
        if length + max_new_tokens > config.max_position_embeddings:
            raise CellError(
                f"a prompt of {length} tokens and {max_new_tokens} new ones exceed the model's "
                f"{config.max_position_embeddings} positions"
            )
        if not 0 <= min(prompt.token_ids) <= max(prompt.token_ids) < config.vocab_size:
            raise CellError(f"a prompt has a token id outside the model's vocabulary of {config.vocab_size}")
    for setting in {row.setting for row in asked}:
        if not (math.isfinite(setting.temperature) and setting.temperature > 0):
            raise CellError(f"temperature must be a positive number, not {setting.temperature}")
        if setting.top_k is not None and setting.top_k < 1:
            raise CellError(f"top_k must be at least 1, not {setting.top_k}")


def _chunks(asked: Sequence[Row], limit: int) -> Iterator[list[Row]]:
    """Rows of one prompt length, neighbours kept together, in parts of nearly equal size."""

    def length(row: Row) -> int:
        return len(row.prompt.token_ids)

    for _, bucket in groupby(sorted(asked, key=length), key=length):
        rows = list(bucket)
        parts = math.ceil(len(rows) / limit)
        bounds = [len(rows) * part // parts for part in range(parts + 1)]
        yield from (rows[start:end] for start, end in pairwise(bounds))


def _generate_chunk(
    model: Any, chunk: Sequence[Row], seed: int, max_new_tokens: int, eos_token_id: int | None
) -> list[Generated]:
    tree = PrefixTree(model, [row.prompt.token_ids for row in chunk])
    device, vocabulary = tree.logits.device, tree.logits.shape[1]
    keys = noise.row_keys(seed, [(row.prompt.id, row.level) for row in chunk], device)
    top_k = torch.tensor([row.setting.top_k or vocabulary for row in chunk], device=device)
    temperature = torch.tensor([row.setting.temperature for row in chunk], dtype=torch.float64, device=device)
    live = torch.arange(len(chunk), device=device)
    tape = _Tape(len(chunk), max_new_tokens, device)
    for index in range(max_new_tokens):
        draw = sample(tree.row_logits(), top_k[live], temperature[live], keys[live], index)
        tape.write(live, index, draw)
        going = draw.tokens != (-1 if eos_token_id is None else eos_token_id)
        live = live[going]
        if not len(live) or index + 1 == max_new_tokens:
            break
        tree.advance(draw.tokens[going], going)
    return tape.texts(chunk, eos_token_id)


class PrefixTree:
    """The growing texts as the model sees them: rows that share every token so far share one row of its batch.

    Attributes:
        logits: [N, V] of the next token after each distinct text.
        node: int64 [R], which of the N each live row is at.
    """

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]]) -> None:
        """Reads the prompts (all of one length), each distinct one once."""
        distinct = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
        self._model = model
        self._cache: Any = None
        device = next(model.parameters()).device
        self.node = torch.tensor([distinct[prompt] for prompt in prompts], device=device)
        self.logits = self._forward(self._padded(torch.tensor(list(distinct), device=device)), len(distinct))

    def row_logits(self) -> Tensor:
        """Logits [R, V] of the live rows' next tokens."""
        return self.logits[self.node]

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

    @staticmethod
    def _padded(rows: Tensor) -> Tensor:
        """`rows` with the last one repeated until there are enough."""
        missing = max(0, FEWEST_ROWS - len(rows))
        return torch.cat([rows, *[rows[-1:]] * missing])

    def _forward(self, tokens: Tensor, real: int) -> Tensor:
        """Logits [real, V] after token ids [N, L], of which those beyond `real` rows only fill the batch."""
        output = self._model(input_ids=tokens, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        self._cache, self._batch = output.past_key_values, len(tokens)
        return output.logits[:real, -1]  # type: ignore[no-any-return]


class _Tape:
    """What was drawn, row by row and step by step."""

    def __init__(self, rows: int, steps: int, device: torch.device) -> None:
        self._tokens = torch.zeros(rows, steps, dtype=torch.int64, device=device)
        self._logprobs = torch.zeros(2, rows, steps, dtype=torch.float64, device=device)
        self._drawn = torch.zeros(rows, dtype=torch.int64, device=device)

    def write(self, live: Tensor, index: int, draw: Draw) -> None:
        """Keeps the draw of the live rows at one step."""
        self._tokens[live, index] = draw.tokens
        self._logprobs[0, live, index] = draw.logprobs
        self._logprobs[1, live, index] = draw.sampling_logprobs
        self._drawn[live] += 1

    def texts(self, chunk: Sequence[Row], eos_token_id: int | None) -> list[Generated]:
        """The finished texts, in the order of the rows."""
        if not self._logprobs.isfinite().all():
            raise CellError("a drawn token has a log-probability that is not finite")
        table = zip(self._tokens.tolist(), *self._logprobs.tolist(), self._drawn.tolist(), chunk, strict=True)
        return [
            _generated(row, tokens[:drawn], logprobs[:drawn], sampling[:drawn], eos_token_id)
            for tokens, logprobs, sampling, drawn, row in table
        ]


def _generated(
    row: Row, tokens: list[int], logprobs: list[float], sampling: list[float], eos_token_id: int | None
) -> Generated:
    finished = tokens[-1] == eos_token_id
    kept = tokens[:-1] if finished else tokens
    return Generated(row.prompt, row.setting, row.level, tuple(kept), tuple(logprobs), tuple(sampling), finished)
