"""Which rows a training set of n has: by content and study seed, nested, and nothing else."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.data.subset import subset_positions, with_train_size
from harness.data.task import TaskData

ROWS = pd.DataFrame({"text": [f"row {i}" for i in range(60)], "label": [i % 2 for i in range(60)]})


def texts(frame: pd.DataFrame, size: int, seed: int = 1) -> set[str]:
    return set(frame["text"].iloc[subset_positions(frame, size, seed)])


def test_sizes_are_nested_and_the_largest_is_all_in_the_old_order() -> None:
    for size in range(1, 60):
        assert len(texts(ROWS, size)) == size
        assert texts(ROWS, size) < texts(ROWS, size + 1)
    assert subset_positions(ROWS, 60, 1) == list(range(60))
    assert subset_positions(ROWS, 20, 1) == sorted(subset_positions(ROWS, 20, 1))


def test_the_order_of_the_file_does_not_matter_and_the_seed_does() -> None:
    shuffled = ROWS.sample(frac=1, random_state=3).reset_index(drop=True)
    assert texts(shuffled, 20) == texts(ROWS, 20)
    assert texts(ROWS, 20, seed=2) != texts(ROWS, 20)
    assert texts(ROWS, 20) != set(ROWS["text"][:20])


def test_all_texts_of_a_row_are_in_its_hash() -> None:
    pairs = pd.DataFrame({"text": ["same"] * 40, "text_pair": [f"pair {i}" for i in range(40)]})
    moved = pairs.iloc[::-1].reset_index(drop=True)
    chosen, again = (set(f["text_pair"].iloc[subset_positions(f, 10, 1)]) for f in (pairs, moved))
    assert chosen == again


def test_equal_rows_are_drawn_one_by_one() -> None:
    """Of 40 copies of one text and 40 others, 20 rows hold both: one kind alone has p < 1e-6 (fixed seed)."""
    frame = pd.DataFrame({"text": ["copy"] * 40 + [f"row {i}" for i in range(40)]})
    copies = [position < 40 for position in subset_positions(frame, 20, 1)]
    assert 0 < sum(copies) < 20


@pytest.mark.parametrize("size", [0, 61])
def test_a_size_that_is_not_there_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"a subset of {size} of 60 rows"):
        subset_positions(ROWS, size, 1)


def test_only_the_training_rows_are_cut() -> None:
    data = TaskData("classification", {"train": ROWS, "test": ROWS})
    cut = with_train_size(data, 5, 1)
    assert (len(cut.splits["train"]), len(cut.splits["test"]), len(data.splits["train"])) == (5, 60, 60)
    assert cut.splits["train"].index.tolist() == list(range(5))
    assert with_train_size(data, None, 1) is data
