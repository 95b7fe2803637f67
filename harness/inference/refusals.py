"""What cannot be generated, said before anything is."""

from __future__ import annotations

import math
from typing import Any

from harness.errors import CellError
from harness.request import Prompt, Setting


def check_prompt(prompt: Prompt, config: Any, max_new_tokens: int) -> None:
    """Refuses a prompt that a model cannot read or not continue that far.

    Raises:
        CellError: it has no tokens, too many, or one that the model does not know.
    """
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


def check_setting(setting: Setting) -> None:
    """Refuses a setting that nothing can be sampled by.

    Raises:
        CellError: one of its numbers is out of range, or it stands for human texts.
    """
    if setting.human:
        raise CellError("top_k 'human' stands for texts that people wrote: they are scored, not sampled")
    if not (math.isfinite(setting.temperature) and setting.temperature > 0):
        raise CellError(f"temperature must be a positive number, not {setting.temperature}")
    if setting.top_k is not None and setting.top_k < 1:
        raise CellError(f"top_k must be at least 1, not {setting.top_k}")
    if not 0 < setting.top_p <= 1:
        raise CellError(f"top_p must be above 0 and at most 1, not {setting.top_p}")
    if not 0 <= setting.min_p < 1:
        raise CellError(f"min_p must be at least 0 and below 1, not {setting.min_p}")
