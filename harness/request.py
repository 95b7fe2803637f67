"""What is asked of a checkpoint: prompts, decoding settings, decode levels; and what comes back. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

SAMPLER_VERSION = 1


@dataclass(frozen=True, order=True)
class Setting:
    """One decoding setting. `top_k=None` is the whole vocabulary (`all`); `top_k=1` is argmax (greedy)."""

    top_k: int | None
    temperature: float = 1.0

    def canonical(self, vocabulary: int) -> Setting:
        """The same law under its one name: k=1 has no temperature, k >= vocabulary is `all`."""
        if self.top_k == 1:
            return Setting(1, 1.0)
        if self.top_k is not None and self.top_k >= vocabulary:
            return Setting(None, self.temperature)
        return self

    @property
    def greedy(self) -> bool:
        """Argmax: the decode role does not matter."""
        return self.top_k == 1

    @property
    def label(self) -> str:
        """`top_k` as tables print it."""
        return "all" if self.top_k is None else str(self.top_k)


@dataclass(frozen=True)
class Prompt:
    """A prompt. Its id hashes the token ids: adding a prompt renumbers nothing, duplicates merge by themselves."""

    text: str
    token_ids: tuple[int, ...]

    @property
    def id(self) -> str:
        """16 hex digits of the content."""
        return prompt_id(self.token_ids)


def prompt_id(token_ids: Sequence[int]) -> str:
    """Content hash of a prompt."""
    return hashlib.blake2b(",".join(map(str, token_ids)).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Generated:
    """One generated text: new tokens only, without the end-of-text token.

    `logprobs` are under the full distribution at temperature 1, `sampling_logprobs` under the distribution that was
    sampled from (0 for greedy); both in nats, one per drawn token (the end-of-text token included when `finished`).
    """

    prompt: Prompt
    setting: Setting
    level: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    sampling_logprobs: tuple[float, ...]
    finished: bool
