"""Reading files and the hub: what is read is what stands there, and what is wrong is told in one line."""

from pathlib import Path

import datasets
import pandas as pd
import pytest

from harness.data import sources
from harness.errors import UserError

TWO = {"sentence": "text", "label": "label"}


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_unquoted_table_keeps_lone_quotes_na_words_and_unicode_line_ends(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tsv", '\ufeffsentence\tlabel\n"a lone quote\t1\nNA\t0\nnull \t1\nnext\x85line\u2028x\t0\r\n'
    )
    frame = sources.read_table(path, TWO, delimiter="\t")
    assert frame["text"].tolist() == ['"a lone quote', "NA", "null", "next\x85line\u2028x"]
    assert frame["label"].tolist() == ["1", "0", "1", "0"]


def test_quoted_table_reads_delimiters_quotes_and_line_ends_inside_quotes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'mr,ref\n"a[x], b[y]","She said ""no""\nand left."\n')
    frame = sources.read_table(path, {"mr": "source", "ref": "target"}, delimiter=",", quoted=True)
    assert frame.to_dict("records") == [{"source": "a[x], b[y]", "target": 'She said "no"\nand left.'}]


def test_a_file_without_header_loses_no_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "gj\t1\t\tA row .\nxx\t0\t*\tRow a .\n")
    frame = sources.read_table(path, TWO, delimiter="\t", header=("source", "label", "mark", "sentence"))
    assert frame["text"].tolist() == ["A row .", "Row a ."]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("sentence\tlabel\n", "no rows"),
        ("sentence\tlabels\na\t1\n", "did you mean 'labels'"),
        ("sentence\tlabel\na\t1\nb\n", "line 3 has 1 fields"),
        ("sentence\tlabel\tlabel\na\t1\t0\n", "2 columns are called 'label'"),
        (b"sentence\tlabel\na\xff\t1\n", "not UTF-8 text (byte 16)"),
    ],
)
def test_a_malformed_table_is_refused_by_name(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = write(tmp_path / "bad.tsv", content)
    with pytest.raises(UserError) as error:
        sources.read_table(path, TWO, delimiter="\t")
    assert "bad.tsv" in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unclosed_quote_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.csv", 'sentence,label\n"never closed,1\n')
    with pytest.raises(UserError, match=r"bad\.csv: line"):
        sources.read_table(path, TWO, delimiter=",", quoted=True)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is not a JSON object"),
        ('{"sentence": "b"}', "line 2 lacks key 'label'"),
        ('{"sentence": "b", "label": null}', "line 2: key 'label' holds None"),
        ('{"sentence": 1.5, "label": 0}', "line 2: key 'sentence' holds 1.5"),
    ],
)
def test_a_malformed_json_line_is_refused_by_line_and_key(tmp_path: Path, line: str, says: str) -> None:
    path = write(tmp_path / "bad.jsonl", '{"sentence": "a", "label": 1}\n' + line + "\n")
    with pytest.raises(UserError) as error:
        sources.read_jsonl(path, TWO)
    assert f"bad.jsonl: {says}" in str(error.value)


def test_json_lines_are_read_as_text(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", '{"sentence": " a ", "label": 1, "more": []}\n\n{"sentence": "NA", "label": "x"}\n'
    )
    assert sources.read_jsonl(path, TWO).to_dict("list") == {"text": ["a", "NA"], "label": ["1", "x"]}


def test_missing_folder_and_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"folder .*nowhere does not exist"):
        sources.data_file("sst2", tmp_path / "nowhere", "glue_sst2/train.tsv")
    with pytest.raises(UserError, match=r"task sst2: glue_sst2/train\.tsv not found in"):
        sources.data_file("sst2", tmp_path, "glue_sst2/train.tsv")


def test_user_file_prefers_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    for folder in (here, data):
        write(folder / "both.csv", "x")
    write(data / "one.csv", "x")
    monkeypatch.chdir(here)
    assert sources.user_file("csv", "both.csv", data) == here / "both.csv"
    assert sources.user_file("csv", "one.csv", data) == data / "one.csv"
    with pytest.raises(UserError, match=r"file none\.csv not found in"):
        sources.user_file("csv", "none.csv", data)


def test_an_unknown_label_is_refused() -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "label": ["0", "2"]})
    with pytest.raises(UserError, match=r"dev\.tsv: label '2' in row 2, wanted 0, 1"):
        sources.label_ids(frame, {"0": 0, "1": 1}, Path("dev.tsv"))


def test_whatever_the_hub_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto anywhere")

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(UserError, match=r"task sst2: a/b cannot be had from the hub .*; give --data DIR") as error:
        sources.hub("sst2", "a/b")
    assert "\n" not in str(error.value)


def test_a_changed_hub_set_is_refused() -> None:
    with pytest.raises(UserError, match="no column 'text' in split 'train'"):
        sources.hub_columns("x", {"train": pd.DataFrame({"words": ["a"]})}, "train", {"text": "text"})
    with pytest.raises(UserError, match="split 'test'"):
        sources.hub_columns("x", {"train": pd.DataFrame({"text": ["a"]})}, "test", {"text": "text"})
