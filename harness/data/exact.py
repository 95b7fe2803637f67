"""Texts judged against a language whose true distribution is known (an automaton); one sentence stands on each line.

What is judged is the rest of the sentence that the prompt's last line has begun: the text before its first newline,
which is certain after a whole sentence. A text that stops before is censored: what needs its end is NaN. A text that
the model itself ended before the newline is ended and no sentence: the language has no other end.

p is a distribution of strings; q, that of the sampler, of token sequences. Two tokenisations of one string count as two
texts of q, so log q(tokens) <= log q(string): truth-log-ratio, and with it kl-to-truth, is a LOWER bound of the value
for strings, too low on average by the entropy of the tokens given the string (about 0 for a trained model). The token
that brings the newline counts whole, so what it writes behind the newline has the same effect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from harness.data.automaton import Automaton, Beginning, beginning, rest_log_probability, state_entropies
from harness.data.task import JudgedText

JUDGED = {
    "sentence-ended": ("text", "1 if the sentence that the prompt began ends within the text, 0 if it is cut"),
    "grammatical": ("text", "1 if prompt and text give a sentence of the true language, else 0; NaN if cut"),
    "true-probability": ("text", "exact probability of the sentence's rest given the prompt; 0 if ungrammatical"),
    "true-logprob": ("text", "its log, nats; NaN if ungrammatical or cut"),
    "true-entropy": ("text", "exact entropy of the sentence's rest given the prompt under the true language, nats"),
    "truth-log-ratio": ("text", "log sampling probability of the sentence's rest less true-logprob, nats; NaN as it"),
    "kl-to-truth": (
        "set",
        "KL divergence from the true language of the grammatical sentences that end within the text, nats; at least "
        "-log of the share of true sentences that do (sentence-ended of human texts)",
    ),
}


class ExactJudge:
    """Judges texts by the true language. What it knows of a prompt's last line is kept for the next text."""

    def __init__(self, of: Automaton) -> None:
        self._of = of
        self._entropies = state_entropies(of)
        self._begun: dict[str, Beginning | None] = {}

    def judge(self, text: JudgedText) -> dict[str, float]:
        """The metrics of unit text in JUDGED; all NaN if no sentence begins with the prompt's last line.

        Raises:
            ValueError: the tokens' texts do not bring the text's newline, or are not as many as their probabilities.
        """
        values = {name: math.nan for name, (unit, _) in JUDGED.items() if unit == "text"}
        begun = self._beginning(text.prompt)
        if begun is None:
            return values
        rest, newline, _ = text.text.partition("\n")
        ended = _ended_by_model(text) or bool(newline)
        values |= {"true-entropy": begun.entropy, "sentence-ended": float(ended)}
        if ended:
            values |= self._judge_sentence(begun, rest, text) if newline else _NO_SENTENCE
        elif beginning(text.prompt.rpartition("\n")[2] + rest, self._of, self._entropies) is None:
            values |= _NO_SENTENCE  # cut, but past hope: nothing that follows could make a sentence of it
        return values

    def _judge_sentence(self, begun: Beginning, rest: str, text: JudgedText) -> Mapping[str, float]:
        true = rest_log_probability(begun, rest, self._of)
        if true == -math.inf:
            return _NO_SENTENCE
        ratio = _sampling_log_probability(text) - true
        return {"grammatical": 1.0, "true-probability": math.exp(true), "true-logprob": true, "truth-log-ratio": ratio}

    def judge_set(self, texts: Sequence[JudgedText]) -> dict[str, float]:
        """kl-to-truth: KL(q(prompt, rest | G) || p(prompt, rest)), nats; G: grammatical, and ended within the text.

        q(prompt, rest) is the texts' distribution of prompts times the sampler's q(rest | prompt); p has the same
        prompts and the true p(rest | prompt). Within G, q(. | G) = q(.) / q(G), so the divergence is
        E[log q(rest | prompt) - log p(rest | prompt) | G] - log q(G): the mean of truth-log-ratio over the grammatical
        texts, less the log of their share of ALL texts. The first term has no bias, the second a small positive one,
        (1 - q(G)) / (2 n q(G)) to first order.

        Texts that are cut stay in the share: dividing by those that ended would add log q(ended), a reward for
        sentences that are cut. So a perfect sampler has -log p(ended), which is 0 once every sentence ends in time. It
        can be read off the human texts of the same prompts; log of the mean of sentence-ended gives the other form.

        NaN where no text is grammatical, and for texts that nobody sampled. Texts whose prompt no sentence begins with
        are left out.
        """
        judged = [self.judge(text) for text in texts]
        known = [values for values in judged if not math.isnan(values["sentence-ended"])]
        ratios = [values["truth-log-ratio"] for values in known if values["grammatical"] == 1.0]
        share = len(ratios) / len(known) if ratios else math.nan
        return {"kl-to-truth": fmean(ratios) - math.log(share) if ratios else math.nan}

    def _beginning(self, prompt: str) -> Beginning | None:
        line = prompt.rpartition("\n")[2]
        if line not in self._begun:
            self._begun[line] = beginning(line, self._of, self._entropies)
        return self._begun[line]


_NO_SENTENCE = {"grammatical": 0.0, "true-probability": 0.0}


def _ended_by_model(text: JudgedText) -> bool:
    """Whether an end-of-text token was drawn: it has a probability and no text."""
    extra = len(text.sampling_logprobs) - len(text.token_texts)
    if text.sampling_logprobs and extra not in (0, 1):
        raise ValueError(f"{len(text.token_texts)} tokens have {len(text.sampling_logprobs)} sampling probabilities")
    return extra == 1


def _sampling_log_probability(text: JudgedText) -> float:
    """Log probability (nats) of the tokens up to the one that brings the first newline; NaN of a human text."""
    if not text.sampling_logprobs:
        return math.nan
    for place, piece in enumerate(text.token_texts, start=1):
        if "\n" in piece:
            return math.fsum(text.sampling_logprobs[:place])
    raise ValueError(f"no token of the text {text.text!r} brings its newline")
