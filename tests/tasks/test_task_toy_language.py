"""toy-language: the probabilities are probabilities, and the samples have them.

Statistical tests have a fixed seed; their false-alarm rate under a fresh one is stated with each.
"""

import math
import sys
from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from harness.data.task import find_task, load_task

SAMPLES = 20_000


@pytest.fixture(scope="module")
def language() -> ModuleType:
    return sys.modules[type(find_task("toy-language")).__module__]


@pytest.fixture(scope="module")
def sample(language: ModuleType) -> list[list[str]]:
    rng = np.random.default_rng(20240917)
    return [language.sample(rng).split() for _ in range(SAMPLES)]


def test_hand_made_automaton(language: ModuleType) -> None:
    zipf = language.automaton({"start": [(1.0, ("a", "b", "c"), "end")]})
    assert [math.exp(language.log_probability([w], zipf)) for w in "abc"] == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    loop = language.automaton({"start": [(0.5, ("a",), "start"), (0.5, (".",), "end")]})
    assert language.log_probability(["a", "a", "."], loop) == pytest.approx(3 * math.log(0.5))
    assert language.entropy(loop) == pytest.approx(2 * math.log(2))  # a geometric number of fair coins
    assert language.words_per_sentence(loop) == pytest.approx(2)


@pytest.mark.parametrize("mixture", ["TRUE", "SHIFT"])
def test_every_state_is_a_distribution_and_leads_on(language: ModuleType, mixture: str) -> None:
    automaton = getattr(language, mixture)
    for words in automaton.values():
        assert sum(p for p, _ in words.values()) == pytest.approx(1, abs=1e-12)
        assert all(to in automaton or to == language.END for _, to in words.values())
    assert all(visits > 0 for visits in language.visits(automaton).values())


def test_no_word_stands_on_two_arcs_of_a_state(language: ModuleType) -> None:
    for arcs in language.grammar(0.25, 0.25, 0.25, 0.25).values():
        words = [word for _, listed, _ in arcs for word in listed]
        assert len(words) == len(set(words))


def short_sentences(language: ModuleType, most: int) -> list[list[str]]:
    """Every grammatical sentence of at most so many words, by trying all words that may follow."""
    done, open_ends = [], [([], "start")]
    while open_ends:
        words, state = open_ends.pop()
        if state == language.END:
            done.append(words)
        elif len(words) < most:
            open_ends += [([*words, word], to) for word, (_, to) in language.TRUE[state].items()]
    return done


def test_probabilities_sum_to_one(language: ModuleType) -> None:
    """All sentences of up to 4 words, one by one, against powers of the chain; and the whole chain ends."""
    names = [*language.TRUE, language.END]
    step = np.zeros((len(names), len(names)))
    step[-1, -1] = 1
    for state, words in language.TRUE.items():
        for p, to in words.values():
            step[names.index(state), names.index(to)] += p
    ended = {n: np.linalg.matrix_power(step, n)[names.index("start"), -1] for n in (4, 400)}
    total = sum(math.exp(language.log_probability(words)) for words in short_sentences(language, 4))
    assert total == pytest.approx(ended[4], abs=1e-12)
    assert 0.1 < total < 0.5
    assert ended[400] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    "sentence",
    [
        "the dogs sees the cat .",  # agreement
        "the dog that sees the cats sleep .",  # agreement over a clause
        "a dogs sleep .",
        "many sleep .",
        "the dog sleeps",  # no end
        "the dog sleeps . .",
        "the dog that sleeps .",
        "the unicorn sleeps .",
        "",
    ],
)
def test_ungrammatical_sentences_are_impossible(language: ModuleType, sentence: str) -> None:
    assert language.log_probability(sentence.split()) == -math.inf


@pytest.mark.parametrize(
    "sentence", ["the dog that sees the cats sleeps .", "many old dogs sleep .", "if tom sleeps , who sleeps ."]
)
def test_grammatical_sentences_and_one_that_only_seems_to_be(language: ModuleType, sentence: str) -> None:
    possible = language.log_probability(sentence.split()) > -math.inf
    assert possible == ("who" not in sentence)


def test_sampled_sentences_are_grammatical_and_have_the_true_entropy(
    language: ModuleType, sample: list[list[str]]
) -> None:
    surprise = -np.array([language.log_probability(words) for words in sample])
    assert np.isfinite(surprise).all()
    error = surprise.std() / SAMPLES**0.5
    assert abs(surprise.mean() - language.entropy()) < 4 * error  # false alarm 6e-5
    assert error < 0.05
    lengths = np.array([len(words) for words in sample])
    assert abs(lengths.mean() - language.words_per_sentence()) < 4 * lengths.std() / SAMPLES**0.5  # 6e-5


def test_sampled_frequencies_are_the_true_probabilities(language: ModuleType, sample: list[list[str]]) -> None:
    """Chi-squared over the sentences of expected count 10 and more, and all others; false alarm 1e-4."""
    expected = {
        " ".join(words): SAMPLES * math.exp(language.log_probability(words)) for words in short_sentences(language, 4)
    }
    common = {text: count for text, count in expected.items() if count >= 10}
    assert len(common) > 20
    seen = Counter(" ".join(words) for words in sample)
    observed = [seen[text] for text in common]
    rest = SAMPLES - sum(common.values())
    result = stats.chisquare([*observed, SAMPLES - sum(observed)], [*common.values(), rest])
    assert result.pvalue > 1e-4


def test_words_follow_zipf_within_their_list(language: ModuleType, sample: list[list[str]]) -> None:
    names = Counter(words[0] for words in sample if words[0] in language.NAMES)
    total = sum(names.values())
    weights = [1 / rank for rank in range(1, len(language.NAMES) + 1)]
    expected = [total * weight / sum(weights) for weight in weights]
    assert stats.chisquare([names[name] for name in language.NAMES], expected).pvalue > 1e-4  # false alarm 1e-4


def test_the_task(language: ModuleType) -> None:
    data = load_task("toy-language", {}, None)
    assert {split: len(frame) for split, frame in data.splits.items()} == {
        "train": 3000, "validation": 400, "test": 400, "shift": 400,
    }  # fmt: skip
    vocabulary = {word for frame in data.splits.values() for text in frame["text"] for word in text.split()}
    assert 100 <= len(vocabulary) <= 130
    assert all(text.endswith(" .") for frame in data.splits.values() for text in frame["text"])
    assert data.extra["entropy"] == {"true": language.entropy(), "shift": language.entropy(language.SHIFT)}
    task = find_task("toy-language")
    assert math.isfinite(task.log_probability(data.splits["shift"]["text"][0].split()))  # type: ignore[attr-defined]


def test_the_shift_has_another_mixture() -> None:
    splits = load_task("toy-language", {"test": 2000, "shift": 2000}, None).splits
    share = {split: (splits[split]["text"].str.split().str[0] == "if").mean() for split in ("test", "shift")}
    # True shares 0.05 and 0.35; standard errors 0.005 and 0.011, so both bounds are more than ten of them away.
    assert share["test"] < 0.12 < 0.22 < share["shift"]


def test_splits_have_streams_of_their_own() -> None:
    small, large = (load_task("toy-language", {"train": n}, None).splits for n in (100, 1000))
    assert small["train"]["text"].tolist() == large["train"]["text"].tolist()[:100]
    assert small["test"].equals(large["test"])
    assert large["train"]["text"].tolist()[:400] != large["test"]["text"].tolist()
    other = load_task("toy-language", {"data_seed": 1}, None).splits
    assert not other["test"].equals(large["test"])
