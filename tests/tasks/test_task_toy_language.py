"""toy-language: the probabilities are probabilities, and the samples have them.

Statistical tests have a fixed seed; their false-alarm rate under a fresh one is stated with each.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from harness.data.automaton import Automaton, entropy, log_probability, visits, words_per_sentence
from harness.data.automaton import sample as draw
from harness.data.prompts import asked_prompts
from harness.data.task import JudgedText, TaskData, find_task, load_task
from harness.data.tokenizer import train_tokenizer
from harness.errors import UserError

SAMPLES = 20_000


@pytest.fixture(scope="module")
def language() -> ModuleType:
    return sys.modules[type(find_task("toy-language")).__module__]


@pytest.fixture(scope="module")
def sample(language: ModuleType) -> list[list[str]]:
    rng = np.random.default_rng(20240917)
    return [draw(rng, language.TRUE).split() for _ in range(SAMPLES)]


@pytest.mark.parametrize("mixture", ["TRUE", "SHIFT"])
def test_every_state_is_a_distribution_and_leads_on(language: ModuleType, mixture: str) -> None:
    automaton: Automaton = getattr(language, mixture)
    for words in automaton.values():
        assert sum(p for p, _ in words.values()) == pytest.approx(1, abs=1e-12)
        assert all(to in automaton or to == language.END for _, to in words.values())
    assert all(count > 0 for count in visits(automaton).values())


def test_no_word_stands_on_two_arcs_of_a_state(language: ModuleType) -> None:
    for arcs in language.grammar(0.25, 0.25, 0.25, 0.25).values():
        words = [word for _, listed, _ in arcs for word in listed]
        assert len(words) == len(set(words))


def short_sentences(language: ModuleType, most: int) -> list[list[str]]:
    """Every grammatical sentence of at most so many words, by trying all words that may follow."""
    done: list[list[str]] = []
    open_ends: list[tuple[list[str], str]] = [([], "start")]
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
    total = sum(math.exp(log_probability(words, language.TRUE)) for words in short_sentences(language, 4))
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
    assert log_probability(sentence.split(), language.TRUE) == -math.inf


@pytest.mark.parametrize(
    "sentence", ["the dog that sees the cats sleeps .", "many old dogs sleep .", "if tom sleeps , who sleeps ."]
)
def test_grammatical_sentences_and_one_that_only_seems_to_be(language: ModuleType, sentence: str) -> None:
    possible = log_probability(sentence.split(), language.TRUE) > -math.inf
    assert possible == ("who" not in sentence)


def test_sampled_sentences_are_grammatical_and_have_the_true_entropy(
    language: ModuleType, sample: list[list[str]]
) -> None:
    surprise = -np.array([log_probability(words, language.TRUE) for words in sample])
    assert np.isfinite(surprise).all()
    error = surprise.std() / SAMPLES**0.5
    assert abs(surprise.mean() - entropy(language.TRUE)) < 4 * error  # false alarm 6e-5
    assert error < 0.05
    lengths = np.array([len(words) for words in sample])
    assert abs(lengths.mean() - words_per_sentence(language.TRUE)) < 4 * lengths.std() / SAMPLES**0.5  # 6e-5


def test_sampled_frequencies_are_the_true_probabilities(language: ModuleType, sample: list[list[str]]) -> None:
    """Chi-squared over the sentences of expected count 10 and more, and all others; false alarm 1e-4."""
    expected = {
        " ".join(words): SAMPLES * math.exp(log_probability(words, language.TRUE))
        for words in short_sentences(language, 4)
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
    assert data.extra["entropy"] == {"true": entropy(language.TRUE), "shift": entropy(language.SHIFT)}
    assert math.isfinite(log_probability(data.splits["shift"]["text"][0].split(), language.TRUE))


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


@pytest.mark.parametrize("length", [1, 4, 13])
def test_real_texts_after_real_prompts_are_grammatical(length: int) -> None:
    """Prompts end in words, between them and in later sentences; what follows in the test split is judged exactly."""
    data = load_task("toy-language", {}, None)
    texts = list(human_texts(data, length))
    judged = [find_task("toy-language").judge(text) for text in texts]
    ended = [values for values in judged if values["sentence-ended"]]
    assert len(ended) > 0.5 * len(texts)
    assert all(values["grammatical"] == 1 and values["true-probability"] > 0 for values in ended)
    assert all(math.isnan(values["grammatical"]) for values in judged if not values["sentence-ended"])
    assert all(values["true-entropy"] >= 0 for values in judged)
    assert any("\n" in text.prompt for text in texts) == (length == 13)


def human_texts(data: TaskData, length: int) -> Iterator[JudgedText]:
    """30 prompts of so many tokens and the 24 tokens after each, as a small byte-level vocabulary cuts them."""
    tokenizer = train_tokenizer("bpe", data.splits["train"]["text"].tolist(), 300, "gpt2")
    count = 10 if length == 1 else 30
    for asked in asked_prompts(data, tokenizer, count=count, tokens=length, room=24):
        ids = list(asked.humans[0].token_ids)
        pieces = tuple(tokenizer.decode([token]) for token in ids)
        text = tokenizer.decode(ids)
        assert "".join(pieces) == text
        yield JudgedText(asked.prompt.text, text, pieces, ())


def test_the_rest_of_a_sentence_is_as_surprising_as_the_truth_says(language: ModuleType) -> None:
    """Mean of -log p(rest | first 7 characters) - its exact conditional entropy is 0; four errors: false alarm 6e-5."""
    task, rng = find_task("toy-language"), np.random.default_rng(11)
    sentences = [draw(rng, language.TRUE) for _ in range(5000)]
    judged = [task.judge(JudgedText(text[:7], text[7:] + "\n", (), ())) for text in sentences if len(text) > 7]
    excess = np.array([-values["true-logprob"] - values["true-entropy"] for values in judged])
    assert abs(excess.mean()) < 4 * excess.std() / len(excess) ** 0.5
    assert excess.std() / len(excess) ** 0.5 < 0.1
    entropies = {values["true-entropy"] for values in judged}
    assert len(entropies) > 20  # it is the prompts' own entropy, not the language's


def test_another_mixture_is_as_far_from_the_truth_as_its_first_words(language: ModuleType) -> None:
    """SHIFT differs from TRUE in the first word only, so the exact divergence is a sum over first words.

    All sentences are grammatical and end in time. Four standard errors: false alarm 6e-5.
    """
    first, other = language.TRUE["start"], language.SHIFT["start"]
    exact = sum(q * math.log(q / first[word][0]) for word, (q, _) in other.items())
    rng = np.random.default_rng(12)
    texts = [shifted(language, draw(rng, language.SHIFT)) for _ in range(5000)]
    judged = [find_task("toy-language").judge(text) for text in texts]
    ratios = np.array([values["truth-log-ratio"] for values in judged])
    divergence = find_task("toy-language").judge_set(texts)["kl-to-truth"]
    assert divergence == pytest.approx(ratios.mean())
    assert abs(divergence - exact) < 4 * ratios.std() / len(ratios) ** 0.5
    assert exact > 0.3


def shifted(language: ModuleType, sentence: str) -> JudgedText:
    """A sentence of SHIFT as a text of one token after an empty line, with its probability under SHIFT."""
    text = sentence + "\n"
    return JudgedText("who sleeps .\n", text, (text,), (log_probability(sentence.split(), language.SHIFT),))


def test_what_is_judged_is_named() -> None:
    task = find_task("toy-language")
    text = JudgedText("the", " dog sleeps .\n", (" dog sleeps .\n",), (-1.0,))
    assert {name for name, (unit, _) in task.judged.items() if unit == "text"} == set(task.judge(text))
    assert {name for name, (unit, _) in task.judged.items() if unit == "set"} == set(task.judge_set([text]))


def test_list_metrics_has_what_is_judged() -> None:
    from harness.spec.catalogue import metrics

    rows = {row[0]: row for row in metrics()[1] if row[3] == "task toy-language"}
    assert rows["kl-to-truth"][1] == "set"
    assert set(rows) == set(find_task("toy-language").judged)


def test_where_prompts_begin_is_checked() -> None:
    data = load_task("toy-language", {}, None)
    assert data.prompts_at == "documents"
    with pytest.raises(UserError, match="task toy-language: prompts_at is 'sentences'; it may be anywhere or"):
        replace(data, prompts_at="sentences").validate("toy-language")  # type: ignore[arg-type]
