"""Cuts by content hash: what they promise, checked by brute force on rows invented here."""

import itertools
import random

import pandas as pd
import pytest

from harness.data import splits
from harness.errors import UserError

WORDS = [f"w{number}" for number in range(60)]


def frame_of(*texts: str) -> pd.DataFrame:
    return pd.DataFrame({"text": list(texts), "label": [len(text) % 2 for text in texts]})


def phrases(sentences: int, seed: int = 1) -> pd.DataFrame:
    """Random sentences with many of their sub-phrases, as SST-2 has them."""
    rng = random.Random(seed)
    rows: list[str] = []
    for _ in range(sentences):
        words = [rng.choice(WORDS) for _ in range(rng.randint(6, 14))]
        rows.append(" ".join(words) + " .")
        for _ in range(8):
            start = rng.randrange(len(words))
            rows.append(" ".join(words[start : start + rng.randint(1, len(words))]))
    return frame_of(*rows)


def test_normalise() -> None:
    assert splits.normalise(" It 's  GOOD , no_doubt !") == "it s good no doubt"
    assert splits.normalise(" !? ") == "!?"
    assert splits.normalise("Ça va\n\tÉTÉ") == "ça va été"


def test_duplicates_of_another_frame_are_removed_and_counted() -> None:
    rest, removed = splits.without(frame_of("A b .", "c d", "a B", "e"), frame_of("a b"))
    assert rest["text"].tolist() == ["c d", "e"]
    assert removed == 2


def test_a_swapped_pair_is_the_same_pair() -> None:
    rows = pd.DataFrame({"text": ["a", "b", "a"], "text_pair": ["b", "a", "c"]})
    rest, removed = splits.without(rows, pd.DataFrame({"text": ["A"], "text_pair": ["B!"]}))
    assert (rest["text_pair"].tolist(), removed) == (["c"], 2)


def test_training_subsets_are_nested_and_ignore_the_order_of_the_file() -> None:
    rows = frame_of(*(f"row {i}" for i in range(50)), *(f"row {i}" for i in range(10)))
    sets = [splits.training_subset(rows, size) for size in (5, 20, 40, 60)]
    for small, large in itertools.pairwise(sets):
        assert not small["text"].value_counts().sub(large["text"].value_counts(), fill_value=0).gt(0).any()
    shuffled = rows.sample(frac=1, random_state=3)
    assert sorted(splits.training_subset(shuffled, 20)["text"]) == sorted(sets[1]["text"])
    assert sets[3]["text"].tolist() == rows["text"].tolist()
    assert splits.training_subset(rows, None) is rows
    with pytest.raises(UserError, match="train_size 61 is more than the 60 training rows"):
        splits.training_subset(rows, 61)


def test_duplicates_are_drawn_one_by_one() -> None:
    rows = frame_of(*["same text"] * 400, *(f"other {i}" for i in range(400)))
    half = splits.training_subset(rows, 400)
    # Hypergeometric, sd 10: outside 150..250 with probability < 1e-6; all or none if duplicates shared a hash.
    assert 150 < (half["text"] == "same text").sum() < 250


def test_carve_keeps_rows_that_share_a_text_on_one_side() -> None:
    rng = random.Random(5)
    rows = pd.DataFrame([{"text": f"a {rng.randrange(80)}", "text_pair": f"b {rng.randrange(80)}"} for _ in range(60)])
    rest, carved = splits.carve(rows, 12, ("text", "text_pair"))
    assert 0 < len(carved) <= 12
    assert len(rest) + len(carved) == 60
    for column in ("text", "text_pair"):
        assert not set(rest[column].map(splits.normalise)) & set(carved[column].map(splits.normalise))


def test_carve_takes_exactly_the_size_of_rows_without_duplicates_wherever_they_stand() -> None:
    rows = frame_of(*(f"row {i}" for i in range(100)))
    rest, carved = splits.carve(rows, 30)
    assert (len(rest), len(carved)) == (70, 30)
    again = splits.carve(rows.iloc[::-1], 30)[1]
    assert set(again["text"]) == set(carved["text"])


def test_carve_refuses_what_leaves_a_side_empty() -> None:
    with pytest.raises(UserError, match="cannot cut 2 rows off 3 rows"):
        splits.carve(frame_of("same", "Same", "same !"), 2)
    with pytest.raises(UserError):
        splits.carve(frame_of("a", "b"), 2)


def test_no_phrase_is_on_both_sides_of_the_cut() -> None:
    rows = phrases(120)
    rest, carved, dropped = splits.carve_phrases(rows, 15)
    assert (len(carved), len(rest) + len(carved) + dropped) == (15, len(rows))
    held_out = [splits.normalise(text) for text in carved["text"]]
    assert all(len(text.split()) >= 8 for text in held_out)
    for text in map(splits.normalise, rest["text"]):
        words = text.split()
        grams = [" ".join(words[i : i + 4]) for i in range(len(words) - 3)]
        for other in held_out:
            assert f" {text} " not in f" {other} "
            assert not any(f" {gram} " in f" {other} " for gram in grams)


def test_only_what_shares_a_phrase_is_dropped() -> None:
    sentence = "one two three four five six seven eight"
    rows = frame_of(
        sentence, "two three", "three two", "four FIVE six .", "nine one two three ten", "one two three four x"
    )
    rest, carved, dropped = splits.carve_phrases(rows, 1)
    assert carved["text"].tolist() == [sentence]
    assert rest["text"].tolist() == ["three two", "nine one two three ten"]
    assert dropped == 3


def test_carved_phrases_do_not_overlap_each_other() -> None:
    carved = splits.carve_phrases(phrases(60), 20)[1]
    grams = [
        {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
        for words in (splits.normalise(text).split() for text in carved["text"])
    ]
    assert not any(first & second for first, second in itertools.combinations(grams, 2))


def test_too_many_carved_phrases_are_refused() -> None:
    with pytest.raises(UserError, match="validation_size 50"):
        splits.carve_phrases(phrases(10), 50)


def test_shared_texts_counts_rows() -> None:
    one = pd.DataFrame({"text": ["a", "b", "c"], "text_pair": ["x", "y", "z"]})
    other = pd.DataFrame({"text": ["Z", "q"], "text_pair": ["q", "A!"]})
    assert splits.shared_texts(one, other) == 2
