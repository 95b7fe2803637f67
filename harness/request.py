"""What is asked of a checkpoint: prompts, decoding settings, decode levels; and what comes back. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SAMPLER_VERSION = 2
FILTERS = "temperature, top-k, top-p, min-p"  # in this order, each on what the one before has left
_HUMAN = 0  # the top_k of texts that nobody sampled


@dataclass(frozen=True, order=True)
class Setting:
    """One decoding setting.

    Attributes:
        top_k: so many best tokens compete; None is the whole vocabulary (`all`), 1 is argmax (greedy).
        temperature: divides the logits.
        top_p: of those, the fewest best tokens with at least this share of their mass (Holtzman et al. 2020, arXiv
            1904.09751); 1 leaves all.
        min_p: of those, the tokens with at least this share of the best one's probability (Nguyen et al. 2024, arXiv
            2407.01082); 0 leaves all.
    """

    top_k: int | None
    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0

    def canonical(self, vocabulary: int) -> Setting:
        """The same law under its one name: k=1 has no temperature and no p, k >= vocabulary is `all`."""
        if self.top_k in (1, _HUMAN):
            return Setting(self.top_k)
        if self.top_k is not None and self.top_k >= vocabulary:
            return Setting(None, self.temperature, self.top_p, self.min_p)
        return self

    @property
    def greedy(self) -> bool:
        """Argmax: the decode role does not matter."""
        return self.top_k == 1

    @property
    def human(self) -> bool:
        """No setting of a sampler: texts that people wrote, scored by the model (HUMAN)."""
        return self.top_k == _HUMAN

    @property
    def filtered(self) -> bool:
        """Whether a filter other than top-k may leave tokens out."""
        return self.top_p < 1.0 or self.min_p > 0.0

    @property
    def label(self) -> str:
        """`top_k` as tables print it: a number, `all` or `human`."""
        return {None: "all", _HUMAN: "human"}.get(self.top_k, str(self.top_k))

    @property
    def factors(self) -> dict[str, Any]:
        """The columns that name a setting in tables and identities."""
        return {"top_k": self.label, "temperature": self.temperature, "top_p": self.top_p, "min_p": self.min_p}


HUMAN = Setting(_HUMAN)


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
    """One text: new tokens only, without the end-of-text token.

    `logprobs` are under the full distribution at temperature 1, `sampling_logprobs` under the distribution that was
    sampled from (0 for greedy); both in nats, one per drawn token (the end-of-text token included when `finished`).
    A human text was not sampled: it has no sampling_logprobs.
    """

    prompt: Prompt
    setting: Setting
    level: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    sampling_logprobs: tuple[float, ...]
    finished: bool
