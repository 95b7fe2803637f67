"""What was drawn, row by row and step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.errors import CellError
from harness.inference.sampler import Draw
from harness.request import Generated, Prompt, Setting

Asked = tuple[Prompt, Setting, int]


class Tape:
    """The draws of a batch."""

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

    def texts(self, rows: Sequence[Asked], eos_token_id: int | None) -> list[Generated]:
        """The finished texts, in the order of the rows.

        Raises:
            CellError: a log-probability is not finite.
        """
        if not self._logprobs.isfinite().all():
            raise CellError("a drawn token has a log-probability that is not finite")
        table = zip(self._tokens.tolist(), *self._logprobs.tolist(), self._drawn.tolist(), rows, strict=True)
        return [
            _generated(row, tokens[:drawn], logprobs[:drawn], sampling[:drawn], eos_token_id)
            for tokens, logprobs, sampling, drawn, row in table
        ]


def _generated(
    row: Asked, tokens: list[int], logprobs: list[float], sampling: list[float], eos_token_id: int | None
) -> Generated:
    finished = tokens[-1] == eos_token_id
    kept = tokens[:-1] if finished else tokens
    return Generated(*row, tuple(kept), tuple(logprobs), tuple(sampling), finished)
