"""One pass over a checkpoint: every (prompt, setting, decode level) becomes one row of a batch.

A row's text is a pure function of the checkpoint, the prompt, the setting, the level and the study seed, whatever
else was asked for. On a CPU with ONE torch thread that holds for every bit, because rows of one batch have prompts of
exactly one length (nothing is padded) and no forward has fewer than four rows (`probe.row_independence` checks it).
Elsewhere `fixed_rows` gives every forward the same number of rows, so that the kernels and the order in which they add
do not depend on which rows are left, and `flips` measures how many texts change all the same.

Rows whose tokens are all equal so far are one row of the model's batch: a prompt is read once, and settings that agree
(k=40 and `all` of a sharp model mostly do) are computed once until they part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.errors import CellError
from harness.evaluation.mode import eval_mode
from harness.inference import noise
from harness.inference.chunks import batch_rows, chunks
from harness.inference.refusals import check_prompt, check_setting
from harness.inference.sampler import sample
from harness.inference.tape import Tape
from harness.inference.tree import PrefixTree
from harness.request import Generated, Prompt, Setting

# One thread and at least this many rows make a row's logits independent of its neighbours on CPUs: products of fewer
# rows take another path through the matrix library, which rounds differently.
FEWEST_ROWS = 4
# So many texts are generated again to measure how many change with their neighbours.
_TEXTS_AGAIN = 64


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
    rows: int | None = None,
    fixed_rows: int | None = None,
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
        rows: at most so many rows in a batch; None is what fits into the memory that `chunks.BYTES` allows. Does not
            change a text where rows are independent.
        fixed_rows: every forward has exactly so many rows, repeats among them; `rows` is not looked at.

    Returns: one entry per distinct row, in the order asked: prompts, within them settings, within them levels.

    Raises:
        CellError: a prompt is empty or longer than the model's positions allow, a setting or token id is impossible,
            or the model gives numbers that are not finite.
    """
    asked = distinct_rows(prompts, settings, levels, model.config.vocab_size)
    return generate_rows(
        model,
        asked,
        seed=seed,
        max_new_tokens=max_new_tokens,
        eos_token_id=eos_token_id,
        rows=rows,
        fixed_rows=fixed_rows,
    )


def generate_rows(
    model: Any,
    asked: Sequence[Row],
    *,
    seed: int,
    max_new_tokens: int,
    eos_token_id: int | None,
    rows: int | None = None,
    fixed_rows: int | None = None,
) -> list[Generated]:
    """Generates the given rows, their settings in canonical form. Returns one entry per row; see `generate`."""
    _check(asked, model.config, max_new_tokens, (rows, fixed_rows))
    done: dict[int, Generated] = {}
    with eval_mode(model):
        for places in chunks(
            [row.prompt.token_ids for row in asked], _limit(model, asked, max_new_tokens, rows, fixed_rows)
        ):
            chunk = [asked[place] for place in places]
            texts = _generate_chunk(model, chunk, seed, max_new_tokens, eos_token_id, fixed_rows or FEWEST_ROWS)
            done.update(zip(places, texts, strict=True))
    return [done[place] for place in range(len(asked))]


def flips(
    model: Any,
    texts: Sequence[Generated],
    *,
    seed: int,
    max_new_tokens: int,
    eos_token_id: int | None,
    fixed_rows: int | None,
) -> tuple[int, int]:
    """Measures how many texts change with their neighbours: up to 64 of them are generated again among others.

    They are spread evenly over `texts` and come again in two halves, each in reversed order, so that a text has other
    neighbours and another place. Human texts, which nobody sampled, are left out.

    Args:
        texts: what `generate` or `generate_rows` gave for the same model and the arguments that follow.

    Returns: number of texts generated again, and how many of them have other token ids.
    """
    sampled = [text for text in texts if not text.setting.human]
    some = sampled[:: math.ceil(len(sampled) / _TEXTS_AGAIN) or 1]
    differing = 0
    for half in (some[::-2], some[-2::-2]):
        asked = [Row(text.prompt, text.setting, text.level) for text in half]
        again = generate_rows(
            model, asked, seed=seed, max_new_tokens=max_new_tokens, eos_token_id=eos_token_id, fixed_rows=fixed_rows
        )
        differing += sum(old.token_ids != new.token_ids for old, new in zip(half, again, strict=True))
    return len(some), differing


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


def _limit(model: Any, asked: Sequence[Row], max_new_tokens: int, rows: int | None, fixed_rows: int | None) -> int:
    """How many rows a batch may have."""
    if fixed_rows or rows:
        return fixed_rows or rows or 0
    positions = max_new_tokens + max((len(row.prompt.token_ids) for row in asked), default=0)
    return max(FEWEST_ROWS, batch_rows(model, positions))


def _check(asked: Sequence[Row], config: Any, max_new_tokens: int, rows: Sequence[int | None]) -> None:
    if min(max_new_tokens, *(1 if limit is None else limit for limit in rows)) < 1:
        raise CellError(f"max_new_tokens, rows and fixed_rows must be at least 1, not {(max_new_tokens, *rows)}")
    for prompt in {row.prompt for row in asked}:
        check_prompt(prompt, config, max_new_tokens)
    for setting in {row.setting for row in asked}:
        check_setting(setting)


class _Laws(NamedTuple):
    """What each row is drawn by, all fields [R]: the arguments of `sample`."""

    top_k: Tensor
    temperature: Tensor
    top_p: Tensor
    min_p: Tensor
    row_keys: Tensor

    def take(self, which: Tensor) -> _Laws:
        """The laws of some rows."""
        return _Laws(*(field[which] for field in self))


def _laws(chunk: Sequence[Row], seed: int, vocabulary: int, device: torch.device) -> _Laws:
    settings = [row.setting for row in chunk]
    real: dict[str, Any] = {"dtype": torch.float64, "device": device}
    return _Laws(
        torch.tensor([setting.top_k or vocabulary for setting in settings], device=device),
        torch.tensor([setting.temperature for setting in settings], **real),
        torch.tensor([setting.top_p for setting in settings], **real),
        torch.tensor([setting.min_p for setting in settings], **real),
        noise.row_keys(seed, [(row.prompt.id, row.level) for row in chunk], device),
    )


def _generate_chunk(
    model: Any, chunk: Sequence[Row], seed: int, max_new_tokens: int, eos_token_id: int | None, fewest: int
) -> list[Generated]:
    tree = PrefixTree(model, [row.prompt.token_ids for row in chunk], fewest)
    device = tree.logits.device
    laws = _laws(chunk, seed, tree.logits.shape[1], device)
    live = torch.arange(len(chunk), device=device)
    tape = Tape(len(chunk), max_new_tokens, device)
    for index in range(max_new_tokens):
        draw = sample(tree.logits, **laws.take(live)._asdict(), index=index, node=tree.node)
        tape.write(live, index, draw)
        going = draw.tokens != (-1 if eos_token_id is None else eos_token_id)
        live = live[going]
        if not len(live) or index + 1 == max_new_tokens:
            break
        tree.advance(draw.tokens[going], going)
    return tape.texts([(row.prompt, row.setting, row.level) for row in chunk], eos_token_id)
