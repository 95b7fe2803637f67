"""csv, jsonl and text: a user's own files."""

import csv as standard_csv
import json
from pathlib import Path

import pytest

from harness.data.task import load_task
from harness.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_csv(path: Path, rows: list[tuple[str, ...]], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        standard_csv.writer(file, delimiter=delimiter).writerows(rows)


def rows_of(count: int) -> list[tuple[str, ...]]:
    return [("body", "class"), *((f'Row {i}, "quoted"', ("no", "yes", "maybe")[i % 3]) for i in range(count))]


CLASSES = {"train": "train.csv", "text": "body", "label": "class"}


def test_csv_classification_carves_what_is_missing(here: Path) -> None:
    write_csv(here / "train.csv", [*rows_of(100), *rows_of(20)[1:]])
    data = load_task("csv", CLASSES, None)
    assert data.kind == "classification"
    assert data.labels == ("maybe", "no", "yes")
    assert sum(map(len, data.splits.values())) == 120
    texts = [set(frame["text"]) for frame in data.splits.values()]
    assert set().union(*texts) == {f'Row {i}, "quoted"' for i in range(100)}
    assert sum(map(len, texts)) == 100  # no text in two splits, though 20 rows stand twice
    for frame in data.splits.values():
        number = frame["text"].str.extract(r"Row (\d+),")[0].astype(int)
        assert [data.labels[label] for label in frame["label"]] == [("no", "yes", "maybe")[n % 3] for n in number]


def test_csv_with_given_splits_tells_of_leaks(here: Path) -> None:
    write_csv(here / "train.csv", rows_of(30))
    write_csv(here / "test.tsv", [*rows_of(2), ("new", "other")], delimiter="\t")
    data = load_task("csv", {**CLASSES, "test": "test.tsv", "train_size": 9}, None)
    assert {split: len(frame) for split, frame in data.splits.items()} == {"train": 9, "test": 3, "validation": 3}
    assert data.labels == ("maybe", "no", "other", "yes")
    assert "test as given (2 rows of train also occur in it)" in data.note


def test_csv_without_label_is_a_language_task(here: Path) -> None:
    write_csv(here / "train.csv", rows_of(30))
    data = load_task("csv", {"train": "train.csv", "text": "body"}, None)
    assert data.kind == "language"
    assert list(data.splits["train"].columns) == ["text"]


def test_jsonl_pairs_and_the_data_folder(here: Path) -> None:
    folder = here / "data"
    folder.mkdir()
    lines = [json.dumps({"a": f"first {i}", "b": f"second {i % 7}", "y": i % 2}) for i in range(40)]
    (folder / "t.jsonl").write_text("\n".join(lines))
    options = {"train": "t.jsonl", "text": "a", "text_pair": "b", "label": "y", "carve_share": 0.3}
    data = load_task("jsonl", options, folder)
    assert data.labels == ("0", "1")
    seconds = [set(frame["text_pair"]) for frame in data.splits.values()]
    assert sum(map(len, seconds)) == 7  # rows that share a text stay on one side


def test_text_paragraphs(here: Path) -> None:
    paragraphs = [f"Paragraph {i},\nof two lines." for i in range(30)]
    (here / "a.txt").write_text("\n\n\n".join(paragraphs) + "\n")
    data = load_task("text", {"train": "a.txt"}, None)
    assert data.kind == "language"
    assert sorted(text for frame in data.splits.values() for text in frame["text"]) == sorted(paragraphs)
    assert {split: len(frame) for split, frame in data.splits.items()} == {"train": 24, "validation": 3, "test": 3}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({**CLASSES, "train": "none.csv"}, "file none.csv not found"),
        ({**CLASSES, "text": "bodi"}, "train.csv: no column 'bodi', did you mean 'body'"),
        ({**CLASSES, "train": "empty.csv"}, "empty.csv: the file is empty"),
        ({**CLASSES, "train": "bytes.csv"}, "bytes.csv: not UTF-8"),
        ({**CLASSES, "train": "one.csv"}, "all rows have the label 'no'"),
        ({**CLASSES, "train": "blank.csv"}, "blank.csv: 1 rows have an empty label"),
        ({"train": "train.csv", "text": "body", "text_pair": "class"}, "text_pair needs label"),
        ({**CLASSES, "label": "body"}, "must name different columns"),
        ({**CLASSES, "train_size": 100}, "train_size 100 is more than"),
        ({"text": "body"}, "tasks.csv.train: Field required"),
        ({**CLASSES, "lable": "class"}, "did you mean 'label'"),
    ],
)
def test_bad_requests_are_refused_in_one_line(here: Path, options: dict[str, object], says: str) -> None:
    write_csv(here / "train.csv", rows_of(30))
    write_csv(here / "one.csv", rows_of(1))
    write_csv(here / "blank.csv", [*rows_of(3), ("text", "")])
    (here / "empty.csv").write_text("")
    (here / "bytes.csv").write_bytes(b"body,class\n\xff\xfe,no\n")
    with pytest.raises(UserError) as error:
        load_task("csv", options, None)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_text_that_cannot_be_carved_is_refused(here: Path) -> None:
    (here / "a.txt").write_text("one paragraph only\n")
    with pytest.raises(UserError, match="cannot cut 1 rows off 1 rows"):
        load_task("text", {"train": "a.txt"}, None)
