"""Texts judged against a known language. The estimated divergence is compared with one found by enumeration.

Statistical tests have a fixed seed; their false-alarm rate under a fresh one is stated with each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from harness.data.automaton import END, Automaton
from harness.data.exact import JUDGED, ExactJudge
from harness.data.task import JudgedText

TRUE: Automaton = {
    "start": {"the": (0.6, "noun"), "tom": (0.4, "verb")},
    "noun": {"old": (0.3, "noun"), "dog": (0.5, "verb"), "dogs": (0.2, "verb")},
    "verb": {"ran": (0.7, "stop"), "saw": (0.3, "start")},
    "stop": {".": (1.0, END)},
}
# Another mixture, and a word that the true language does not have.
OTHER: Automaton = {
    "start": {"the": (0.3, "noun"), "tom": (0.65, "verb"), "cat": (0.05, "verb")},
    "noun": {"old": (0.5, "noun"), "dog": (0.2, "verb"), "dogs": (0.3, "verb")},
    "verb": {"ran": (0.6, "stop"), "saw": (0.35, "start"), "old": (0.05, "stop")},
    "stop": {".": (0.9, END), "ran": (0.1, "stop")},
}


@pytest.fixture(scope="module")
def judge() -> ExactJudge:
    return ExactJudge(TRUE)


def text(prompt: str, *pieces: str, drawn: float | None = -0.5, finished: bool = False) -> JudgedText:
    """A text of these tokens; each was drawn with the log-probability `drawn`, or by nobody."""
    count = 0 if drawn is None else len(pieces) + finished
    return JudgedText(prompt, "".join(pieces), pieces, (drawn or 0.0,) * count)


def test_a_sentence_by_hand(judge: ExactJudge) -> None:
    """The prompt's last line is `the do`: dog or dogs, 0.7 of what may follow `the `."""
    found = judge.judge(text("tom ran .\nthe do", "gs", " ran", " .", "\n", "the", " x"))
    true = math.log(0.2 / 0.7 * 0.7)
    assert set(found) == {name for name, (unit, _) in JUDGED.items() if unit == "text"}
    assert found["grammatical"] == found["sentence-ended"] == 1
    assert found["true-logprob"] == pytest.approx(true)
    assert found["true-probability"] == pytest.approx(0.2)
    assert found["truth-log-ratio"] == pytest.approx(4 * -0.5 - true)  # what follows the newline does not count
    # The rest's entropy: which of the two words it is, and the entropy after a verb's subject.
    same = judge.judge(text("tom ", "ran", " .", "\n"))["true-entropy"]
    choice = -sum(p * math.log(p) for p in (0.5 / 0.7, 0.2 / 0.7))
    assert found["true-entropy"] == pytest.approx(choice + same)


@pytest.mark.parametrize("prompt", ["", "tom ran .\n"])
def test_a_whole_sentence(judge: ExactJudge, prompt: str) -> None:
    found = judge.judge(text(prompt, "tom", " ran", " .\n"))
    assert found["true-probability"] == pytest.approx(0.28)
    assert found["truth-log-ratio"] == pytest.approx(-1.5 - math.log(0.28))


def test_a_sentence_that_was_whole_before(judge: ExactJudge) -> None:
    found = judge.judge(text("tom ran .", "\n", "tom"))
    assert (found["true-logprob"], found["true-entropy"], found["truth-log-ratio"]) == (0, 0, -0.5)


@pytest.mark.parametrize("pieces", [(" ran", "\n"), (" ran", " .", " .", "\n"), (" Ran .\n",), ("  ran .\n",), ("\n",)])
def test_no_sentence(judge: ExactJudge, pieces: tuple[str, ...]) -> None:
    found = judge.judge(text("tom", *pieces))
    assert (found["sentence-ended"], found["grammatical"], found["true-probability"]) == (1, 0, 0)
    assert math.isnan(found["true-logprob"])
    assert math.isnan(found["truth-log-ratio"])
    assert found["true-entropy"] > 0


def test_a_text_that_is_cut_is_not_defined(judge: ExactJudge) -> None:
    found = judge.judge(text("tom", " ran", " ."))
    assert found.pop("sentence-ended") == 0
    assert found.pop("true-entropy") > 0
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize("pieces", [(" flies",), (" ran", " . ."), (" ran", " .", " the"), (" ranx",), (" ran ",)])
def test_a_cut_text_that_no_sentence_begins_with_is_ungrammatical(judge: ExactJudge, pieces: tuple[str, ...]) -> None:
    hope = "".join(pieces) == " ran "
    found = judge.judge(text("tom", *pieces))
    assert found["sentence-ended"] == 0
    assert math.isnan(found["grammatical"]) if hope else found["grammatical"] == found["true-probability"] == 0


def test_an_end_of_text_token_ends_no_sentence(judge: ExactJudge) -> None:
    cut, ended = (judge.judge(text("tom", " ran", " .", finished=finished)) for finished in (False, True))
    assert math.isnan(cut["grammatical"])
    assert (ended["sentence-ended"], ended["grammatical"]) == (1, 0)
    later = judge.judge(text("tom", " ran", " .", "\n", "tom", finished=True))
    assert later["grammatical"] == 1
    assert judge.judge(text("tom", finished=True))["grammatical"] == 0


def test_a_prompt_of_another_language_is_not_judged(judge: ExactJudge) -> None:
    texts = [text("some cat", " ran", " .", "\n")]
    assert all(math.isnan(value) for value in judge.judge(texts[0]).values())
    good = [text("tom", " ran", " .", "\n")]
    assert judge.judge_set(texts + good) == judge.judge_set(good)


def test_human_texts_are_grammatical_and_have_no_sampler(judge: ExactJudge) -> None:
    human = text("tom", " ran", " .", "\n", drawn=None)
    found = judge.judge(human)
    assert found["grammatical"] == 1
    assert found["true-probability"] == pytest.approx(0.7)
    assert math.isnan(found["truth-log-ratio"])
    assert math.isnan(judge.judge_set([human])["kl-to-truth"])


def test_nothing_grammatical_has_no_divergence(judge: ExactJudge) -> None:
    for texts in ([], [text("tom", "\n")], [text("tom", " ran")]):
        assert math.isnan(judge.judge_set(texts)["kl-to-truth"])


def test_tokens_that_do_not_fit_their_text_are_refused(judge: ExactJudge) -> None:
    with pytest.raises(ValueError, match="brings its newline"):
        judge.judge(JudgedText("tom", " ran .\n", (" ran", " ."), (-1.0, -1.0)))
    with pytest.raises(ValueError, match="2 tokens have 4"):
        judge.judge(JudgedText("tom", " ran .\n", (" ran", " .\n"), (-1.0,) * 4))


def all_texts(of: Automaton, most: int) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every text of at most `most` tokens (a word with its space, or the newline) and its probability."""
    open_ends: list[tuple[tuple[str, ...], str, float]] = [((), "start", 1.0)]
    while open_ends:
        pieces, state, p = open_ends.pop()
        if state == END and len(pieces) < most:
            yield (*pieces, "\n"), p
        elif len(pieces) == most:
            yield pieces, p
        else:
            space = " " if pieces else ""
            open_ends += [((*pieces, space + word), to, p * q) for word, (q, to) in of[state].items()]


def draw(rng: np.random.Generator, of: Automaton, most: int) -> JudgedText:
    pieces: list[str] = []
    logs: list[float] = []
    state = "start"
    while state != END and len(pieces) < most:
        words = list(of[state].items())
        word, (_, to) = words[rng.choice(len(words), p=[p for _, (p, _) in words])]
        pieces.append(" " + word if pieces else word)
        logs.append(math.log(of[state][word][0]))
        state = to
    if state == END and len(pieces) < most:
        pieces.append("\n")
        logs.append(0.0)
    return JudgedText("", "".join(pieces), tuple(pieces), tuple(logs))


def exact_divergence(of: Automaton, most: int) -> tuple[float, float]:
    """KL(q(. | G) || p) and q(G) of G: the grammatical texts of at most `most` tokens; nothing here is estimated."""
    p = {pieces: value for pieces, value in all_texts(TRUE, most) if pieces[-1] == "\n"}
    q = {pieces: value for pieces, value in all_texts(of, most) if pieces in p}
    mass = math.fsum(q.values())
    return math.fsum(value / mass * math.log(value / mass / p[pieces]) for pieces, value in q.items()), mass


@pytest.mark.parametrize(("of", "most"), [(OTHER, 12), (OTHER, 6), (TRUE, 6)])
def test_the_estimated_divergence_is_that_of_all_texts(judge: ExactJudge, of: Automaton, most: int) -> None:
    """Four standard errors (given their number, the ratios are independent of it): false alarm 6e-5 each."""
    exact, mass = exact_divergence(of, most)
    rng = np.random.default_rng(20240917)
    texts = [draw(rng, of, most) for _ in range(5000)]
    ratios = [judge.judge(one)["truth-log-ratio"] for one in texts]
    kept = np.array([ratio for ratio in ratios if not math.isnan(ratio)])
    error = math.sqrt(kept.var() / len(kept) + (1 - mass) / mass / len(texts))
    assert abs(judge.judge_set(texts)["kl-to-truth"] - exact) < 4 * error
    assert error < 0.03
    if of is TRUE:  # a perfect sampler: what is left is that some sentences are cut
        assert np.abs(kept).max() < 1e-12
        assert exact == pytest.approx(-math.log(mass))


def test_the_other_forms_of_the_divergence_are_told_apart() -> None:
    """What the estimate's tests can see: without the share, or with the share of what ended, it is another number."""
    exact, mass = exact_divergence(OTHER, 6)
    ended = math.fsum(p for pieces, p in all_texts(OTHER, 6) if pieces[-1] == "\n")
    assert abs(math.log(mass)) > 0.2
    assert abs(math.log(ended)) > 0.2
    assert exact > 0


def test_texts_of_several_prompts_are_one_joint_distribution(judge: ExactJudge) -> None:
    """By hand: one of two texts after `tom`, both after `the dogs`; q is 1/2 a token."""
    half = math.log(0.5)
    texts = [
        text("tom", " ran", " .\n", drawn=half),
        text("tom", " ran", "\n", drawn=half),
        text("the dogs", " ran", " .\n", drawn=half),
        text("the dogs", " saw", " tom", " ran", " .\n", drawn=half),
    ]
    ratios = [2 * half - math.log(0.7), 2 * half - math.log(0.7), 4 * half - math.log(0.3 * 0.4 * 0.7)]
    assert judge.judge_set(texts)["kl-to-truth"] == pytest.approx(sum(ratios) / 3 - math.log(3 / 4))


def test_two_tokenisations_make_it_smaller(judge: ExactJudge) -> None:
    """A sampler writes ` ran .` in one way, or in two equally likely ones: for strings its divergence is the same."""
    one = [text("tom", " ran", " .", "\n", drawn=0.0)]
    logs = (math.log(0.5), 0.0, 0.0)
    two = [
        JudgedText("tom", " ran .\n", (" ran", " .", "\n"), logs),
        JudgedText("tom", " ran .\n", (" r", "an .", "\n"), logs),
    ]
    of_strings, of_tokens = (judge.judge_set(texts)["kl-to-truth"] for texts in (one, two))
    assert of_strings == pytest.approx(-math.log(0.7))
    assert of_tokens == pytest.approx(of_strings - math.log(2))
