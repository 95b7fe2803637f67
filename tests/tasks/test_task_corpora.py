"""shakespeare, wikitext2, e2e and pydoc, on invented files in the published layout."""

import itertools
from pathlib import Path

import datasets
import pytest

from harness.data.task import load_task
from harness.errors import UserError

PLAY = "".join(f"SPEAKER {i}:\nLine of the speaker {i},\nand no more.\n\n" for i in range(100))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def article(name: str) -> str:
    return f" \n = {name} = \n \n Words about {name} , with <unk> . \n \n = = Part = = \n \n More about {name} . \n"


def test_shakespeare_is_cut_as_nanogpt_cuts_it(tmp_path: Path) -> None:
    write(tmp_path / "tinyshakespeare/input.txt", PLAY)
    data = load_task("shakespeare", {}, tmp_path)
    joined = {split: data.separator.join(frame["text"]) for split, frame in data.splits.items()}
    border = int(len(PLAY) * 0.9)
    assert joined["train"] == PLAY[:border]
    assert joined["validation"] == joined["test"] == PLAY[border:]
    assert "same rows" in data.note
    held = load_task("shakespeare", {"holdout": True}, tmp_path)
    joined = {split: held.separator.join(frame["text"]) for split, frame in held.splits.items()}
    assert joined["train"] + joined["validation"] + joined["test"] == PLAY
    assert joined["test"] == PLAY[border:]
    assert joined["validation"] == PLAY[int(border * 0.9) : border]
    assert len(load_task("shakespeare", {"train_size": 7}, tmp_path).splits["train"]) == 7


def test_shakespeare_from_the_hub_is_the_joined_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "tinyshakespeare/input.txt", PLAY)
    parts = {"train": PLAY[:500], "validation": PLAY[500:900], "test": PLAY[900:]}
    fake = datasets.DatasetDict({split: datasets.Dataset.from_dict({"text": [text]}) for split, text in parts.items()})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: fake)
    assert load_task("shakespeare", {}, None).fingerprint() == load_task("shakespeare", {}, tmp_path).fingerprint()


def test_wikitext2_without_a_train_part_says_so(tmp_path: Path) -> None:
    valid = "".join(article(f"Valid {i}") for i in range(20))
    write(tmp_path / "wikitext2/valid.txt", valid)
    write(tmp_path / "wikitext2/test.txt", article("Test one") + article("Test two"))
    data = load_task("wikitext2", {}, tmp_path)
    assert {split: len(frame) for split, frame in data.splits.items()} == {"train": 18, "validation": 2, "test": 2}
    assert "no train.txt" in data.note
    assert not set(data.splits["train"]["text"]) & set(data.splits["validation"]["text"])
    assert data.separator.join(data.splits["test"]["text"]) == article("Test one") + article("Test two")


def test_wikitext2_with_a_train_part_is_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {part: article(f"{part} one") + article(f"{part} two") for part in ("train", "valid", "test")}
    for part, text in texts.items():
        write(tmp_path / f"wikitext2/{part}.txt", text)
    files = load_task("wikitext2", {}, tmp_path)
    assert files.note == "as published"
    assert files.separator.join(files.splits["train"]["text"]) == texts["train"]
    named = {"train": "train", "validation": "valid", "test": "test"}
    rows = {split: texts[part].removesuffix("\n").split("\n") for split, part in named.items()}
    fake = datasets.DatasetDict(
        {s: datasets.Dataset.from_dict({"text": [line + "\n" for line in lines]}) for s, lines in rows.items()}
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: fake)
    hub = load_task("wikitext2", {}, None)
    for split, frame in hub.splits.items():
        assert [text.rstrip() for text in frame["text"]] == [text.rstrip() for text in files.splits[split]["text"]]
        assert len(frame) == 2


def test_e2e_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"trainset": ("mr,ref", 5), "devset": ("mr,ref", 2), "testset_w_refs": ('"mr","ref"', 3)}
    for file, (head, count) in rows.items():
        lines = [f'"name[{file}], area[{i // 2}]","It is ""{i}"", here."' for i in range(count)]
        write(tmp_path / f"e2e/{file}.csv", "\n".join([head, *lines]) + "\n")
    data = load_task("e2e", {"train_size": 3}, tmp_path)
    assert data.kind == "conditional"
    assert {split: len(frame) for split, frame in data.splits.items()} == {"train": 3, "validation": 2, "test": 3}
    test = data.splits["test"]
    assert test["source"].tolist() == ["name[testset_w_refs], area[0]"] * 2 + ["name[testset_w_refs], area[1]"]
    assert test["target"].tolist() == [f'It is "{i}", here.' for i in range(3)]
    assert "train 3, validation 1, test 2" in data.note
    columns = {"source": "meaning_representation", "target": "human_reference"}
    whole = load_task("e2e", {}, tmp_path)
    fake = datasets.DatasetDict(
        {s: datasets.Dataset.from_pandas(f.rename(columns=columns)) for s, f in whole.splits.items()}
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: fake)
    assert load_task("e2e", {}, None).fingerprint() == whole.fingerprint()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("shakespeare", "tinyshakespeare/input.txt"),
        ("wikitext2", "wikitext2/valid.txt"),
        ("e2e", "e2e/trainset.csv"),
    ],
)
def test_a_missing_or_empty_file_is_named(tmp_path: Path, name: str, file: str) -> None:
    with pytest.raises(UserError, match=f"task {name}: {file} not found in"):
        load_task(name, {}, tmp_path)
    write(tmp_path / "wikitext2/test.txt", article("Test"))
    write(tmp_path / file, "\n \n")
    with pytest.raises(UserError, match=f"{Path(file).name}: the file is empty"):
        load_task(name, {}, tmp_path)


def test_pydoc_is_the_reference_of_this_python() -> None:
    from pydoc_data.topics import topics

    data = load_task("pydoc", {}, None)
    names = {split: set(frame["topic"]) for split, frame in data.splits.items()}
    assert set().union(*names.values()) == set(topics)
    assert not any(first & second for first, second in itertools.combinations(names.values(), 2))
    for frame in data.splits.values():
        assert frame["topic"].tolist() == sorted(frame["topic"])
        assert all(topics[row.topic].strip() == row.text for row in frame.itertuples())
    assert len(names["train"]) > 0.6 * len(topics)
    assert load_task("pydoc", {}, None).fingerprint() == data.fingerprint()
