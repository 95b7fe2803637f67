"""Automata: probabilities and entropies of beginnings and rests, against the enumeration of a small language."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from harness.data import automaton
from harness.data.automaton import END, Automaton

# Words that begin alike, two loops, and one word that may or may not end a sentence.
SMALL: Automaton = {
    "start": {"a": (0.5, "mid"), "ab": (0.2, "mid"), "b": (0.01, "start"), "abc": (0.29, END)},
    "mid": {".": (0.8, END), "ab": (0.19, "tail"), "a": (0.01, "start")},
    "tail": {".": (1.0, END)},
}


def sentences(of: Automaton, most: int) -> Iterator[tuple[str, float]]:
    """Every sentence of at most so many words, and its probability, by trying all words that may follow."""
    open_ends: list[tuple[list[str], str, float]] = [([], "start", 1.0)]
    while open_ends:
        words, state, p = open_ends.pop()
        if state == END:
            yield " ".join(words), p
        elif len(words) < most:
            open_ends += [([*words, word], to, p * q) for word, (q, to) in of[state].items()]


@pytest.fixture(scope="module")
def listed() -> dict[str, float]:
    """All but less than 1e-12 of the small language."""
    found = dict(sentences(SMALL, 14))
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-12)
    return found


def beginnings(listed: dict[str, float]) -> list[str]:
    """Every string that one of the likelier sentences begins with, the empty one and whole sentences included."""
    likely = [text for text, p in listed.items() if p > 1e-5]
    return sorted({text[:cut] for text in likely for cut in range(len(text) + 1)})


def test_zipf_and_a_loop() -> None:
    zipf = automaton.automaton({"start": [(1.0, ("a", "b", "c"), "end")]})
    probabilities = [math.exp(automaton.log_probability([word], zipf)) for word in "abc"]
    assert probabilities == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    loop = automaton.automaton({"start": [(0.5, ("a",), "start"), (0.5, (".",), "end")]})
    assert automaton.log_probability(["a", "a", "."], loop) == pytest.approx(3 * math.log(0.5))
    assert automaton.entropy(loop) == pytest.approx(2 * math.log(2))  # a geometric number of fair coins
    assert automaton.words_per_sentence(loop) == pytest.approx(2)


def test_beginnings_have_the_probability_of_all_their_sentences(listed: dict[str, float]) -> None:
    entropies = automaton.state_entropies(SMALL)
    cases = beginnings(listed)
    assert len(cases) > 40
    for text in cases:
        begun = automaton.beginning(text, SMALL, entropies)
        expected = math.fsum(p for sentence, p in listed.items() if sentence.startswith(text))
        assert begun is not None
        assert math.exp(begun.log_probability) == pytest.approx(expected, rel=1e-6), text


def test_rests_sum_to_one_and_have_the_entropy(listed: dict[str, float]) -> None:
    entropies = automaton.state_entropies(SMALL)
    for text in beginnings(listed):
        begun = automaton.beginning(text, SMALL, entropies)
        assert begun is not None
        rests = [sentence[len(text) :] for sentence in listed if sentence.startswith(text)]
        logs = [automaton.rest_log_probability(begun, rest, SMALL) for rest in rests]
        assert math.fsum(map(math.exp, logs)) == pytest.approx(1, rel=1e-6), text
        assert -math.fsum(math.exp(log) * log for log in logs) == pytest.approx(begun.entropy, rel=1e-5, abs=1e-9), text


def test_a_rest_is_the_sentence_less_its_beginning(listed: dict[str, float]) -> None:
    entropies = automaton.state_entropies(SMALL)
    for text in beginnings(listed):
        begun = automaton.beginning(text, SMALL, entropies)
        assert begun is not None
        for rest in (" ab .", "c", ".", "", "b .", " ", "b ab .", "  ."):
            whole = listed.get(text + rest, 0.0) / math.exp(begun.log_probability)
            rest_probability = math.exp(automaton.rest_log_probability(begun, rest, SMALL))
            assert rest_probability == pytest.approx(whole, rel=1e-9, abs=0), (text, rest)


def test_a_beginning_by_hand() -> None:
    """After `a` the word may become a (0.5), ab (0.2) or abc (0.29, and the sentence ends)."""
    begun = automaton.beginning("a", SMALL, automaton.state_entropies(SMALL))
    assert begun is not None
    assert begun.log_probability == pytest.approx(math.log(0.99))
    assert automaton.rest_log_probability(begun, "b .", SMALL) == pytest.approx(math.log(0.2 * 0.8 / 0.99))
    assert automaton.rest_log_probability(begun, "bc", SMALL) == pytest.approx(math.log(0.29 / 0.99))


@pytest.mark.parametrize("text", ["x", "a x", "abcd", "abc ", "abc .", " a", "a  .", "a . ", "a .a", "A", "a\t"])
def test_no_sentence_begins_so(text: str) -> None:
    assert automaton.beginning(text, SMALL, automaton.state_entropies(SMALL)) is None


def test_entropy_two_ways(listed: dict[str, float]) -> None:
    """By expected visits, by the states' equations, and by enumeration."""
    entropies = automaton.state_entropies(SMALL)
    begun = automaton.beginning("", SMALL, entropies)
    assert begun is not None
    assert begun.log_probability == pytest.approx(0, abs=1e-12)
    by_hand = -math.fsum(p * math.log(p) for p in listed.values())
    assert [automaton.entropy(SMALL), entropies["start"], begun.entropy] == pytest.approx([by_hand] * 3, abs=1e-9)


def test_samples_go_on_from_a_state() -> None:
    rng = np.random.default_rng(5)
    assert {automaton.sample(rng, SMALL, "tail") for _ in range(5)} == {"."}
    assert all(automaton.log_probability(automaton.sample(rng, SMALL).split(" "), SMALL) < 0 for _ in range(100))
