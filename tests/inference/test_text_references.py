"""BLEU, chrF and ROUGE-L against several references: NLTK, brute force, rouge-score, cases by hand."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu
from rouge_score.rouge_scorer import RougeScorer

from harness.analysis.human import INCOMPARABLE
from harness.inference.metrics import METRICS, Text, set_metrics, text_metrics
from harness.inference.metrics import references as references_module

SENTENCE = "the a pub near river serves cheap food and is in city family friendly called Vaults"
WORDS = SENTENCE.split()
NAMES = ("bleu", "chrf", "rouge-l-set")


def compared(string: str, *references: str) -> Text:
    return Text(tuple(range(len(string.split()))), string=string, references=references)


def draw(seed: int, size: int = 12, shortest: int = 6) -> list[Text]:
    """Sentences with one to five references each, which share words with them."""
    dice = random.Random(seed)

    def sentence() -> str:
        return " ".join(dice.choices(WORDS, k=dice.randrange(shortest, 14)))

    def changed(string: str) -> str:
        return " ".join(dice.choice(WORDS) if dice.random() < 0.3 else word for word in [*string.split(), "it"])

    strings = [sentence() for _ in range(size)]
    return [
        compared(one, *([changed(one) for _ in range(dice.randrange(1, 4))] + [sentence()] * dice.randrange(3)))
        for one in strings
    ]


@pytest.mark.parametrize("seed", range(5))
def test_bleu_is_nltks_with_any_number_of_references(seed: int) -> None:
    # The last is far shorter than its one reference: an invented second one would change the brevity penalty.
    texts = [*draw(seed), compared("the pub near it", "the pub near the river in the city is cheap and serves food")]
    assert len({len(text.references) for text in texts}) > 1
    references = [[reference.split() for reference in text.references] for text in texts]
    expected = 100 * corpus_bleu(references, [text.string.split() for text in texts])
    assert 5 < expected < 95
    assert set_metrics(texts)["bleu"] == pytest.approx(expected, rel=1e-9)


def test_bleu_by_hand() -> None:
    assert set_metrics([compared("the pub is near the river", "x y", "the pub is near the river")])["bleu"] == (
        pytest.approx(100)
    )
    # Precisions 5/6, 4/5, 3/4, 2/3 (the last word differs), equal lengths.
    expected = 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert set_metrics([compared("the pub is near the sea", "the pub is near the river")])["bleu"] == (
        pytest.approx(expected)
    )


def character_counts(string: str, n: int) -> Counter[str]:
    letters = string.replace(" ", "")
    return Counter(letters[start : start + n] for start in range(len(letters) - n + 1))


def chrf_counts(string: str, reference: str) -> list[tuple[int, int, int]]:
    """Matches, n-grams of the text, n-grams of the reference; for n from 1 to 6."""
    rows = []
    for n in range(1, 7):
        ours, theirs = character_counts(string, n), character_counts(reference, n)
        rows.append((sum(min(count, theirs[gram]) for gram, count in ours.items()), ours.total(), theirs.total()))
    return rows


def f_score(rows: list[tuple[int, int, int]]) -> float:
    rows = [row for row in rows if row[1] and row[2]]
    precision = sum(row[0] / row[1] for row in rows) / len(rows) if rows else 0.0
    recall = sum(row[0] / row[2] for row in rows) / len(rows) if rows else 0.0
    return 500 * precision * recall / (4 * precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(5))
def test_chrf_is_that_of_the_best_references(seed: int) -> None:
    texts = draw(seed)
    best = [max((chrf_counts(t.string, reference) for reference in t.references), key=f_score) for t in texts]
    added = [(sum(a), sum(b), sum(c)) for a, b, c in (zip(*rows, strict=True) for rows in zip(*best, strict=True))]
    assert set_metrics(texts)["chrf"] == pytest.approx(f_score(added), rel=1e-9)
    assert set_metrics(texts[:1])["chrf"] == pytest.approx(f_score(best[0]), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_rouge_l_is_that_of_rouge_score(seed: int) -> None:
    scorer = RougeScorer(["rougeL"])
    texts = [*draw(seed, size=40, shortest=0), compared("Pub-food, 3 STARS!", "pub foods is 3 star", "§")]
    expected = [100 * scorer.score_multi(text.references, text.string)["rougeL"].fmeasure for text in texts]
    assert text_metrics(texts)["rouge-l"].tolist() == expected
    assert set_metrics(texts)["rouge-l-set"] == pytest.approx(sum(expected) / len(expected), rel=1e-12)


def test_rouge_l_by_hand() -> None:
    # "the pub the river" is common: 4 of 5 words, 4 of 6.
    values = text_metrics([compared("the pub by the river", "x", "the old pub is the river")])["rouge-l"]
    assert values[0] == pytest.approx(100 * 2 * (4 / 5) * (4 / 6) / (4 / 5 + 4 / 6))


def test_without_references_nothing_is_defined() -> None:
    texts = [compared("the pub"), compared("near it")]
    assert text_metrics(texts)["rouge-l"].tolist() == pytest.approx([math.nan] * 2, nan_ok=True)
    for name in NAMES:
        assert math.isnan(set_metrics(texts)[name])
        assert math.isnan(set_metrics([])[name])


@pytest.mark.parametrize("place", [0, 5, 12])
def test_a_text_without_a_reference_is_left_out_of_its_set(place: int) -> None:
    """One prompt of e2e's with a single human text must not cost the human row its values."""
    texts = draw(3)
    found = set_metrics([*texts[:place], compared("a text of nobody's prompt"), *texts[place:]])
    assert {name: found[name] for name in NAMES} == {name: set_metrics(texts)[name] for name in NAMES}
    assert all(5 < found[name] < 95 for name in NAMES)


def test_an_unknown_string_among_others_is_no_number() -> None:
    unknown = Text((1, 2), string="", references=("the pub",))
    for name in NAMES:
        assert math.isnan(set_metrics([*draw(3), unknown])[name])
        assert not math.isnan(set_metrics([*draw(3), Text((1, 2))])[name])


def test_the_metrics_that_read_references_have_no_difference_to_human_and_say_why() -> None:
    texts = [replace(text, logprobs=(-1.0,) * len(text.token_ids), vocabulary=50) for text in draw(4)]
    alone = [replace(text, references=("the pub",)) for text in texts]
    with_all, with_one = set_metrics(texts), set_metrics(alone)
    reading = {name for name, value in with_all.items() if value == value and value != with_one[name]}
    each, each_alone = text_metrics(texts), text_metrics(alone)
    reading |= {name for name in each if not np.array_equal(each[name], each_alone[name], equal_nan=True)}
    assert reading == {"bleu", "chrf", "rouge-l", "rouge-l-set"}
    for name in reading:
        assert INCOMPARABLE[name] == "no difference to human: a human text has one reference fewer"
        assert "human texts: against the other references, one fewer" in METRICS[name].description


def test_an_empty_text_is_compared_and_an_unknown_string_is_not() -> None:
    empty = Text((), string="", references=("the pub",))
    unknown = Text((1, 2), string="", references=("the pub",))
    for name in NAMES:
        assert set_metrics([empty])[name] == 0
        assert math.isnan(set_metrics([unknown])[name])
    assert text_metrics([empty])["rouge-l"][0] == 0
    assert math.isnan(text_metrics([unknown])["rouge-l"][0])


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_keeping_the_references_ngrams_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function: Callable[[list[Text]], float] = METRICS[name].function
    one, other = draw(1), draw(2)
    kept = [function(one), function(other), function(one), function(one[::-1])]
    before = references_module._judge.cache_info()
    monkeypatch.setattr(references_module, "KEPT", 0)
    assert [function(one), function(other), function(one), function(one[::-1])] == kept
    assert kept[0] != kept[1]
    assert references_module._judge.cache_info() == before


def test_importing_the_metrics_loads_neither_library() -> None:
    code = (
        "import sys, harness.inference.metrics; sys.exit(any(m in sys.modules for m in ('sacrebleu', 'rouge_score')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
