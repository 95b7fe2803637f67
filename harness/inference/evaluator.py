"""A causal language model that neither generated a text nor began the fine-tuning: what it says of the text.

It has a tokenizer of its own. Prompt and text are tokenized together, as one string: the tokens that reach into the
text are scored, given everything before them. A token that begins in the prompt and ends in the text is the text's.
The end of a text is not scored, since strings have no end-of-text token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoModelForCausalLM

from harness.errors import CellError, UserError
from harness.inference.judge import Judge, load_judge
from harness.inference.score import Tokens, score
from harness.spec.models import Checkpoint


@dataclass(frozen=True)
class Evaluator:
    """An evaluator model; `load` makes one.

    Attributes:
        judge: a causal language model.
        lead: the special tokens that its tokenizer sets before every text.
    """

    judge: Judge
    lead: Tokens

    @classmethod
    def load(cls, checkpoint: Checkpoint, *, device: str = "cpu") -> Evaluator:
        """Loads it from its folder (`harness.spec.models.resolve_checkpoint` finds folders and hub ids).

        Raises:
            UserError: it is no causal language model of safetensors weights, or has no tokenizer.
        """
        judge = load_judge(checkpoint, AutoModelForCausalLM, "decoding.evaluator", device=device)
        if judge.looks_ahead():
            raise UserError(
                f"decoding.evaluator: {judge.name}: it sees the tokens that it should predict: no causal language model"
            )
        return cls(judge, judge.lead())

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, ...] | None]:
        """Scores texts after their prompts.

        Args:
            pairs: (prompt, text). Where nothing at all comes before a text, it begins with the model's own token for
                that; a model without one does not score the first token.

        Returns: in the order asked, log-probabilities in nats, one for each of the evaluator's tokens of the text; ()
            for a text without a token. None for one that its tokenizer cannot spell (unknown tokens): it is not known
            then how likely the text is.

        Raises:
            CellError: prompt and text are too long for the evaluator, or a number is not finite.
        """
        encoded = self.judge.tokenizer.encode_batch([prompt + text for prompt, text in pairs], add_special_tokens=False)
        split = [self._split(one, len(prompt)) for one, (prompt, _) in zip(encoded, pairs, strict=True)]
        asked = []
        for (context, tokens), pair in zip(split, pairs, strict=True):
            if tokens:
                self._check(context, tokens, pair)
                asked.append((context, tokens))
        found = iter(score(self.judge.model, asked))
        return [next(found) if tokens else tokens for _, tokens in split]

    def _split(self, encoding: Any, prompt: int) -> tuple[Tokens, Tokens | None]:
        """What is read and what is scored, of a tokenized string whose first `prompt` characters are the prompt.

        None is scored of a text with unknown tokens.
        """
        ids = tuple(encoding.ids)
        first = next((place for place, (_, end) in enumerate(encoding.offsets) if end > prompt), len(ids))
        context, tokens = self.lead + ids[:first], ids[first:]
        if self.judge.unknown in tokens:
            return context, None
        if context or not tokens:
            return context, tokens
        return (tokens[:1], tokens[1:]) if self.judge.start is None else ((self.judge.start,), tokens)

    def _check(self, context: Tokens, tokens: Tokens, pair: tuple[str, str]) -> None:
        read, limit = len(context) + len(tokens) - 1, self.judge.positions
        if limit is not None and read > limit:
            raise CellError(
                f"the evaluator {self.judge.name} reads {limit} tokens, which are too few for the {read} of prompt and "
                f"text {''.join(pair)[:40]!r}..."
            )
