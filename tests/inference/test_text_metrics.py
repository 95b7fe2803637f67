"""Text metrics: what they are, and the first ones against hand-computed cases and, for self-BLEU, against NLTK."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable
from statistics import mean

import numpy as np
import pytest
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from harness.errors import CellError
from harness.inference.metrics import METRICS, Text, prompt_metrics, set_metrics, text_metrics
from harness.inference.metrics.registry import TextMetric, text_metric


def texts(*sequences: tuple[int, ...]) -> list[Text]:
    return [Text(sequence) for sequence in sequences]


def of_text(name: str, *token_ids: int, logprobs: tuple[float, ...] | None = None) -> float:
    return float(text_metrics([Text(token_ids, logprobs)])[name][0])


def test_every_metric_says_what_it_is() -> None:
    wanted = {"distinct-1", "distinct-2", "distinct-3", "seq-rep-4", "token-entropy", "length", "nll", "perplexity"}
    wanted |= {"self-bleu-4", "distinct-2-set", "perplexity-set", "replicate-distinctness"}
    wanted |= {"seq-rep-1", "repetition-loop", "zipf", "entropy-4", "vocabulary-coverage", "ead-1", "ead-1-set"}
    wanted |= {"base-perplexity-set", "evaluator-perplexity", "bleu", "chrf", "rouge-l", "copied-span", "self-bleu-5"}
    assert wanted <= set(METRICS)
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.description
        assert metric.source


def test_the_units_do_not_mix() -> None:
    three = texts((1, 2, 3, 4, 5), (1, 2, 3), (4,))
    units = [set(text_metrics(three)), set(set_metrics(three)), set(prompt_metrics(three))]
    assert sum(map(len, units)) == len(METRICS) == len(set.union(*units))
    assert all(values.shape == (3,) and values.dtype == np.float64 for values in text_metrics(three).values())


def test_a_name_is_registered_once_and_with_a_known_unit() -> None:
    with pytest.raises(ValueError, match="already registered"):
        text_metric("length", unit="text", source="", description="")
    with pytest.raises(ValueError, match="none of"):
        text_metric("new", unit="corpus", source="", description="")  # type: ignore[arg-type]


def test_importing_them_needs_no_torch() -> None:
    code = "import sys, harness.inference.metrics; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("n", "expected"), [(1, 3 / 6), (2, 4 / 5), (3, 1.0)])
def test_distinct(n: int, expected: float) -> None:
    assert of_text(f"distinct-{n}", 1, 2, 1, 2, 3, 1) == pytest.approx(expected)
    assert of_text(f"distinct-{n}", *[8] * 10) == pytest.approx(1 / (11 - n))
    assert math.isnan(of_text(f"distinct-{n}", *range(n - 1)))


def test_distinct_of_a_set_does_not_cross_texts() -> None:
    # Bigrams: 12, 23 | 12 | none: two distinct of three; 31 would be there if texts were joined.
    assert set_metrics(texts((1, 2, 3), (1, 2), (7,)))["distinct-2-set"] == pytest.approx(2 / 3)
    assert math.isnan(set_metrics(texts((1,), ()))["distinct-2-set"])


def test_seq_rep_4() -> None:
    # 1234 2341 3412 4123 1234: one of five repeats.
    assert of_text("seq-rep-4", 1, 2, 3, 4, 1, 2, 3, 4) == pytest.approx(1 / 5)
    assert of_text("seq-rep-4", 1, 2, 3, 4) == 0
    assert of_text("seq-rep-4", *[5] * 23) == pytest.approx(19 / 20)
    assert math.isnan(of_text("seq-rep-4", 1, 2, 3))


def test_token_entropy_in_nats() -> None:
    assert of_text("token-entropy", 1, 1, 2, 3) == pytest.approx(1.5 * math.log(2))
    assert of_text("token-entropy", *range(9)) == pytest.approx(math.log(9))
    assert of_text("token-entropy", 4, 4, 4) == 0
    assert math.isnan(of_text("token-entropy"))


def test_length() -> None:
    assert of_text("length", 1, 2, 3) == 3
    assert of_text("length") == 0


def test_likelihood() -> None:
    logprobs = tuple(math.log(p) for p in (0.5, 0.25, 0.125))
    assert of_text("perplexity", 1, 2, logprobs=logprobs) == pytest.approx(4)
    assert of_text("nll", 1, 2, logprobs=logprobs) == pytest.approx(2 * math.log(2))
    for nothing in (None, ()):
        assert math.isnan(of_text("nll", 1, 2, logprobs=nothing))
        assert math.isnan(of_text("perplexity", 1, 2, logprobs=nothing))


def test_likelihood_of_a_set_counts_tokens_not_texts() -> None:
    scored = [Text((1,), (math.log(0.5),)), Text((1, 2, 3), (math.log(0.125),) * 3)]
    assert set_metrics(scored)["perplexity-set"] == pytest.approx(2 ** ((1 + 3 * 3) / 4))
    assert math.isnan(set_metrics([*scored, Text((1,))])["perplexity-set"])


def nltk_self_bleu(sequences: list[tuple[int, ...]], orders: int) -> float:
    smoothing = SmoothingFunction().method1
    return mean(
        sentence_bleu(sequences[:place] + sequences[place + 1 :], sequence, (1 / orders,) * orders, smoothing)
        for place, sequence in enumerate(sequences)
        if len(sequence) >= orders
    )


@pytest.mark.parametrize(("vocabulary", "longest"), [(2, 8), (6, 12), (40, 30), (5000, 12)])
def test_self_bleu_equals_nltk(vocabulary: int, longest: int) -> None:
    dice = random.Random(vocabulary)
    for size in (2, 3, 17):
        for _ in range(8):
            drawn = [
                tuple(dice.randrange(vocabulary) for _ in range(dice.randrange(0, longest))) for _ in range(size)
            ] + [tuple(dice.randrange(vocabulary) for _ in range(longest))]
            drawn += [drawn[0]] * dice.randrange(2)
            for orders in (4, 5):
                expected = nltk_self_bleu(drawn, orders)
                assert set_metrics(texts(*drawn))[f"self-bleu-{orders}"] == pytest.approx(expected, rel=1e-12)


def test_self_bleu_by_hand() -> None:
    assert set_metrics(texts((1, 2, 3, 4, 5), (1, 2, 3, 4, 5)))["self-bleu-4"] == pytest.approx(1)
    assert set_metrics(texts((1, 2, 3, 4), (5, 6, 7, 8)))["self-bleu-4"] == 0
    # 1-grams 3/4, 2-grams 2/3, 3-grams 1/2, no 4-gram (0.1/1), equal lengths; both texts alike.
    expected = (3 / 4 * 2 / 3 * 1 / 2 * 0.1) ** 0.25
    assert set_metrics(texts((1, 2, 3, 4), (1, 2, 3, 9)))["self-bleu-4"] == pytest.approx(expected)


def test_self_bleu_of_too_little_is_nan_and_short_texts_are_only_references() -> None:
    for few in (texts(), texts((1, 2, 3, 4)), texts((1, 2, 3), (1, 2, 3))):
        assert math.isnan(set_metrics(few)["self-bleu-4"])
    # The first is clipped by the second (3/4, 2/3, 1/2, 0.1/1; no brevity penalty); the second is not judged.
    expected = (3 / 4 * 2 / 3 * 1 / 2 * 0.1) ** 0.25
    assert set_metrics(texts((1, 2, 3, 4), (1, 2, 3)))["self-bleu-4"] == pytest.approx(expected)


def test_replicate_distinctness() -> None:
    def of(*sequences: tuple[int, ...]) -> float:
        return prompt_metrics(texts(*sequences))["replicate-distinctness"]

    assert of((1, 2, 3), (1, 2, 3), (1, 2, 3)) == 0
    assert of((1, 2, 3), (4, 5, 6), (7, 8)) == 1
    # Bigram counts {12: 2, 21: 1} and {12: 1, 23: 1}: 1 - 1/4.
    assert of((1, 2, 1, 2), (1, 2, 3)) == pytest.approx(3 / 4)
    assert of((1, 2, 1, 2), (1, 2, 3), (1, 2, 3)) == pytest.approx((3 / 4 + 3 / 4 + 0) / 3)
    assert of((1,), (1,)) == of((), ()) == 0
    assert of((1,), (2,)) == of((1,), ()) == of((1, 2), (1,)) == 1
    assert math.isnan(of((1, 2)))


@pytest.mark.parametrize("bad", [lambda text: 1 / 0, lambda text: float("inf"), lambda text: "no number"])
def test_a_metric_that_fails_is_named(bad: Callable[[Text], float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "bad", TextMetric("bad", "text", "-", "-", bad))
    with pytest.raises(CellError, match="text metric bad: "):
        text_metrics([Text((1,))])
