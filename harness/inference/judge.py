"""Models that only judge texts: loaded from their folder as they are, with the tokenizer that belongs to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from tokenizers import Tokenizer

from harness.data.tokenizer import load_tokenizer
from harness.errors import UserError
from harness.evaluation.mode import eval_mode
from harness.inference.engine import FEWEST_ROWS
from harness.inference.score import Tokens, positions, token_batch, vocabulary
from harness.spec.models import Checkpoint


@dataclass(frozen=True)
class Judge:
    """A model and its tokenizer.

    Attributes:
        name: as messages print it.
        model: of transformers, float32, in eval mode.
        tokenizer: cuts nothing, pads nothing, takes the name of a special token in a text for ordinary characters.
        start: the token that a text may be begun with (beginning of text, else end of text), None where there is none.
        positions: how many tokens the model reads, None where there is no end.
        unknown: the token that stands for characters that the tokenizer does not know, None where it knows all.
    """

    name: str
    model: Any
    tokenizer: Tokenizer
    start: int | None
    positions: int | None
    unknown: int | None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device  # type: ignore[no-any-return]

    def looks_ahead(self) -> bool:
        """Whether what it makes of a token depends on the tokens after it: an encoder, or one in a decoder's clothes.

        transformers gives BERT a language model's head without a word, and its numbers look right. So it is tried.
        """
        size = vocabulary(self.model)
        rows = [(0, 1 % size, last * (size - 1) // (FEWEST_ROWS - 1)) for last in range(FEWEST_ROWS)]
        with eval_mode(self.model):
            early = self.model(input_ids=token_batch(rows, self.device))[0][:, :2]
        return not torch.allclose(early, early[:1].expand_as(early), rtol=1e-3, atol=1e-3 * float(early.abs().max()))

    def lead(self) -> Tokens:
        """The special tokens that its tokenizer sets before every text."""
        encoded = self.tokenizer.encode("a")
        pairs = zip(encoded.ids, encoded.special_tokens_mask, strict=True)
        return tuple(token for token, _ in takewhile(lambda pair: pair[1], pairs))


def load_judge(
    checkpoint: Checkpoint, kind: Any, where: str, *, device: str = "cpu", spare: Sequence[str] = ()
) -> Judge:
    """Loads a judge; needs no network, runs no code of the checkpoint, reads no pickled weights, draws nothing.

    Args:
        kind: one of transformers' Auto classes.
        where: begins an error message, for example `decoding.evaluator`.
        spare: parts that the checkpoint may lack, because nothing uses them.

    Raises:
        UserError: transformers cannot load it so, it lacks weights, or it has no tokenizer that we can read.
    """
    tokenizer = load_tokenizer(checkpoint.folder)
    try:
        # Weights that are lacking would be drawn at random: from a generator that nobody else sees.
        with torch.random.fork_rng(devices=[]):
            model, report = kind.from_pretrained(
                checkpoint.folder,
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
            )
    except (ValueError, OSError, RuntimeError, ImportError, KeyError) as error:
        raise UserError(f"{where}: {checkpoint.name}: not to be loaded by transformers: {_line(error)}") from None
    lacking = sorted(name for name in report["missing_keys"] if not any(part in name for part in spare))
    if lacking or report["mismatched_keys"]:
        raise UserError(f"{where}: {checkpoint.name}: {len(lacking)} weights are missing, such as {lacking[:1]}")
    model = model.to(torch.device(device)).eval()
    return Judge(checkpoint.name, model, tokenizer, _start(model), positions(model.config), _unknown(tokenizer))


def _start(model: Any) -> int | None:
    tokens = (model.config.bos_token_id, model.config.eos_token_id)
    return next((token for token in tokens if isinstance(token, int) and 0 <= token < vocabulary(model)), None)


def _unknown(tokenizer: Tokenizer) -> int | None:
    model = json.loads(tokenizer.to_str())["model"]
    token = model.get("unk_token")
    return model.get("unk_id") if token is None else tokenizer.token_to_id(token)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
