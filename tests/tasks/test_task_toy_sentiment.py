"""toy-sentiment: labels follow the stated rule, noise is where it should be, splits are apart."""

import itertools
import re
import sys
from types import ModuleType

import pytest

from harness.data.task import find_task, load_task
from harness.errors import UserError


@pytest.fixture(scope="module")
def grammar() -> ModuleType:
    return sys.modules[type(find_task("toy-sentiment")).__module__]


def label_by_the_rule(grammar: ModuleType, text: str) -> int:
    """The rule of the docstring, read off the finished text (another way than the generator's)."""
    last = re.split(r" , (?:but |yet )?", text.removesuffix(" ."))[-1]
    words = last.split()
    signs = {word in grammar.GOOD for word in words if word in grammar.GOOD or word in grammar.BAD}
    assert len(signs) == 1
    flips = sum(word in grammar.NEGATIONS for word in words) + sum(denial in last for denial in grammar.DENIALS)
    return (int(signs.pop()) + flips) % 2


def test_clean_labels_follow_the_rule(grammar: ModuleType) -> None:
    for frame in load_task("toy-sentiment", {}, None).splits.values():
        assert [label_by_the_rule(grammar, text) for text in frame["text"]] == frame["clean_label"].tolist()


def test_only_training_labels_are_noisy() -> None:
    data = load_task("toy-sentiment", {"train": 4000, "label_noise": 0.2}, None)
    flipped = {split: int((frame["label"] != frame["clean_label"]).sum()) for split, frame in data.splits.items()}
    assert flipped["validation"] == flipped["test"] == flipped["shift"] == 0
    # Binomial(4000, 0.2): mean 800, sd 25.3; five sd, false alarm below 1e-6 (and the seed is fixed).
    assert 673 < flipped["train"] < 927
    assert str(flipped["train"]) in data.note
    clean = load_task("toy-sentiment", {"label_noise": 0.0}, None).splits["train"]
    assert (clean["label"] == clean["clean_label"]).all()


def test_no_sentence_is_in_two_splits_or_twice_in_one() -> None:
    splits = load_task("toy-sentiment", {}, None).splits
    assert {split: len(frame) for split, frame in splits.items()} == {
        "test": 400, "validation": 300, "shift": 400, "train": 800,
    }  # fmt: skip
    assert all(frame["text"].is_unique for frame in splits.values())
    for first, second in itertools.combinations(splits.values(), 2):
        assert not set(first["text"]) & set(second["text"])


def test_classes_are_balanced() -> None:
    for split, frame in load_task("toy-sentiment", {}, None).splits.items():
        # Binomial(n, 1/2), five sd: false alarm below 1e-6 a split.
        assert abs(frame["clean_label"].mean() - 0.5) < 2.5 / len(frame) ** 0.5, split


def test_the_shift_is_a_shift(grammar: ModuleType) -> None:
    splits = load_task("toy-sentiment", {}, None).splits

    def pairs(split: str) -> set[tuple[str, str]]:
        adjectives = "|".join(grammar.GOOD + grammar.BAD)
        return {m for text in splits[split]["text"] for m in re.findall(rf"({adjectives}) and ({adjectives})", text)}

    def double(split: str) -> int:
        clauses = [clause for text in splits[split]["text"] for clause in text.split(" , ")]
        negated = [any(word in grammar.NEGATIONS for word in clause.split()) for clause in clauses]
        denied = [any(denial in clause for denial in grammar.DENIALS) for clause in clauses]
        return sum(map(all, zip(negated, denied, strict=True)))

    lengths = {split: frame["text"].str.split().map(len).mean() for split, frame in splits.items()}
    assert lengths["shift"] > 1.5 * lengths["test"]
    assert len(pairs("shift")) > 20
    assert not pairs("shift") & (pairs("train") | pairs("validation") | pairs("test"))
    assert double("shift") > 50
    assert double("train") == double("test") == double("validation") == 0
    known = {word for text in splits["train"]["text"] for word in text.split()}
    assert {word for text in splits["shift"]["text"] for word in text.split()} <= known


def test_held_out_splits_ignore_the_size_of_train_and_the_seed_decides() -> None:
    small, large = (load_task("toy-sentiment", {"train": n}, None) for n in (50, 1500))
    for split in ("validation", "test", "shift"):
        assert small.splits[split].equals(large.splits[split])
    assert small.splits["train"]["text"].tolist() == large.splits["train"]["text"].tolist()[:50]
    assert load_task("toy-sentiment", {}, None).fingerprint() == load_task("toy-sentiment", {}, None).fingerprint()
    other = load_task("toy-sentiment", {"data_seed": 1}, None).splits["test"]
    assert not set(other["text"]) >= set(small.splits["test"]["text"])


def test_options_are_checked() -> None:
    assert len(load_task("toy-sentiment", {"train_size": 10}, None).splits["train"]) == 10
    with pytest.raises(UserError, match=r"tasks\.toy-sentiment\.label_noise"):
        load_task("toy-sentiment", {"label_noise": 0.7}, None)
