"""Prompts of the test split, and what people wrote after them.

Prompts are nested: the first n of a larger request are the request for n, so that adding prompts keeps the old ones.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from tokenizers import Tokenizer

from harness.data.encode import ARROW, Ints
from harness.data.splits import content_hash
from harness.data.task import TaskData
from harness.data.tokenizer import special_ids
from harness.errors import UserError
from harness.identity import uid
from harness.request import Prompt


@dataclass(frozen=True)
class Human:
    """A text that somebody wrote after a prompt.

    Attributes:
        token_ids: without the end-of-text token; cut where it is longer than a generated text may be.
        finished: it was not cut: an end-of-text token follows. A stream of text has no ends.
    """

    token_ids: tuple[int, ...]
    finished: bool


@dataclass(frozen=True)
class Asked:
    """A prompt, and the human texts after it in the order of the data; at least one."""

    prompt: Prompt
    humans: tuple[Human, ...]


def digest(asked: Sequence[Asked]) -> str:
    """Digest of the prompts: other prompts are another experiment, however they were chosen."""
    return uid({"prompts": [one.prompt.id for one in asked]})


def asked_prompts(data: TaskData, tokenizer: Tokenizer, *, count: int, tokens: int, room: int) -> list[Asked]:
    """The prompts of a task's test split.

    Args:
        data: of a language or conditional task.
        tokenizer: the model's.
        count: prompts with different contents.
        tokens: length of a language task's prompt; a conditional task's is a whole source.
        room: tokens that may follow a prompt, the end-of-text token included.

    Raises:
        UserError: the split has fewer such prompts.
    """
    test = data.splits["test"]
    if data.kind == "conditional":
        return _of_sources(test, tokenizer, count, room)
    stream, starts = encoded_stream(test, tokenizer, data.separator)
    width = tokens + room
    last = len(stream) - width
    places = [start for start in starts if start <= last] if data.prompts_at == "documents" else range(last + 1)
    found: dict[str, Asked] = {}
    taken: list[int] = []
    for place in _spread(len(places)):
        start = places[place]
        if not _free(start, taken, width):
            continue
        window = stream[start : start + width].tolist()
        prompt = _prompt(window[:tokens], tokenizer)
        if prompt.id not in found:
            found[prompt.id] = Asked(prompt, (Human(tuple(window[tokens:]), finished=False),))
            insort(taken, start)
        if len(found) == count:
            return list(found.values())
    raise UserError(
        f"{count} different prompts of {tokens} tokens, each with {room} of its own after it, are not to be had from "
        f"the test split's {len(stream)} tokens: there are {len(found)}"
    )


def _free(start: int, taken: list[int], width: int) -> bool:
    """Whether a window overlaps none of those taken (their starts, sorted): human texts must not share tokens."""
    place = bisect(taken, start)
    return all(abs(start - near) >= width for near in taken[max(0, place - 1) : place + 1])


def encoded_stream(frame: pd.DataFrame, tokenizer: Tokenizer, separator: str) -> tuple[Ints, list[int]]:
    """All documents as one stream of ids (as `encode_stream`), and the places of the documents' first tokens.

    A document whose first character shares a token with the separator before it has no place.
    """
    import numpy as np

    encoding = tokenizer.encode(separator.join(frame["text"]), add_special_tokens=False)
    begins, at = set(), 0
    for text in frame["text"]:
        begins.add(at)
        at += len(text) + len(separator)
    starts = []
    for place, (begin, _) in enumerate(encoding.offsets):
        if begin in begins:
            starts.append(place)
            begins.remove(begin)  # the bytes of one character may be several tokens
    return np.asarray(encoding.ids, dtype=np.int32), starts


def _spread(count: int) -> Iterator[int]:
    """Every number below `count`, some more than once, in an order whose beginnings are spread evenly.

    Floors of count times the van der Corput sequence in base 2 (van der Corput 1935): 0, 1/2, 1/4, 3/4, 1/8, ...
    """
    bits = max(0, count - 1).bit_length()
    for index in range(2**bits if count else 0):
        yield count * int(f"{index:b}".zfill(bits)[::-1] or "0", 2) >> bits


def _of_sources(frame: pd.DataFrame, tokenizer: Tokenizer, count: int, room: int) -> list[Asked]:
    """The first `count` distinct sources by content hash, with all their targets."""
    targets: dict[str, list[str]] = {}
    for source, target in zip(frame["source"], frame["target"], strict=True):
        targets.setdefault(source, []).append(target)
    found: dict[str, Asked] = {}
    for source in sorted(targets, key=lambda text: (content_hash(text, "prompt"), text)):
        prompt = _prompt(tokenizer.encode(source + ARROW, add_special_tokens=False).ids, tokenizer)
        found.setdefault(prompt.id, Asked(prompt, tuple(_human(text, tokenizer, room) for text in targets[source])))
        if len(found) == count:
            return list(found.values())
    raise UserError(f"{count} prompts need as many distinct sources; there are {len(found)}")


def _human(text: str, tokenizer: Tokenizer, room: int) -> Human:
    ids = tokenizer.encode(" " + text, add_special_tokens=False).ids
    finished = special_ids(tokenizer).eos is not None and len(ids) < room  # its end-of-text token needs room, too
    return Human(tuple(ids[:room]), finished)


def _prompt(ids: list[int], tokenizer: Tokenizer) -> Prompt:
    return Prompt(text=tokenizer.decode(ids, skip_special_tokens=False), token_ids=tuple(ids))
