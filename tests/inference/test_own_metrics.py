"""A text metric of the user's own is one file of a folder where they work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.inference.metrics import METRICS, Text, text_metrics
from harness.inference.own_metrics import load_own_metrics
from harness.store.measures import code_digest

FILE = """
from harness.inference.metrics import Text, text_metric

@text_metric("vowels", unit="text", source="ours", description="vowels")
def vowels(text: Text) -> float:
    return float(sum(text.string.count(vowel) for vowel in "aeiou"))
"""


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    before = dict(METRICS)
    yield
    METRICS.clear()
    METRICS.update(before)


def write(home: Path, content: str) -> None:
    (home / "text_metrics").mkdir(exist_ok=True)
    (home / "text_metrics" / "own.py").write_text(content)


def test_it_is_found_and_computed_and_belongs_to_the_code(home: Path) -> None:
    load_own_metrics()
    before = code_digest()
    write(home, FILE)
    load_own_metrics()
    load_own_metrics()
    assert text_metrics([Text((1,), string="a boat")])["vowels"].tolist() == [3.0]
    with_metric = code_digest()
    assert with_metric != before
    write(home, FILE.replace("aeiou", "aeiouy"))
    assert code_digest() != with_metric


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import nothing_like_that", "own.py fails to import: ModuleNotFoundError"),
        ("x = 1", "own.py registers no metric"),
        (FILE.replace('"vowels", unit', '"length", unit'), "own.py fails to import: .*'length' is already registered"),
        (FILE.replace('unit="text"', 'unit="page"'), "own.py fails to import: .*'page'"),
        (FILE + "\n1 / 0\n", "own.py fails to import: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(home: Path, content: str, message: str) -> None:
    write(home, content)
    known = set(METRICS)
    with pytest.raises(UserError, match=message):
        load_own_metrics()
    assert set(METRICS) == known
