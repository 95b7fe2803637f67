"""The GLUE tasks on invented rows in the published layout, and through a hub that is made up."""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from harness.data.task import TaskData, load_task
from harness.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"validation_size": 10}


def write(path: Path, rows: list[tuple[Any, ...]], mark: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(mark + "".join("\t".join(map(str, row)) + "\n" for row in rows), "utf-8")


def sentence(rng: random.Random, low: int = 8, high: int = 12) -> str:
    return " ".join(f"word{rng.randrange(4000)}" for _ in range(rng.randint(low, high)))


def sst2_rows(count: int, seed: int) -> list[tuple[str, int]]:
    """Sentences, each with three phrases of its own; with the trailing space and the lone quotes of the real file."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        words = sentence(rng).split()
        for start, stop in ((0, len(words)), (1, 6), (2, 4), (3, 5)):
            rows.append((" ".join(words[start:stop]) + ' " ', rng.randrange(2)))
    return rows


def pair_rows(count: int, seed: int, pool: int = 60) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    return [(f"premise {seed} {rng.randrange(pool)} .", f"claim {seed} {rng.randrange(pool)} .") for _ in range(count)]


def published(data: TaskData) -> list[tuple[str, int]]:
    return list(zip(data.splits["test"]["text"], data.splits["test"]["label"], strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All four tasks, HANS and the UCI sentences in the real layout."""
    rows, dev = sst2_rows(60, 1), sst2_rows(5, 2)
    write(tmp_path / "glue_sst2/train.tsv", [("sentence", "label"), *rows, (dev[0][0].upper() + "!", 1)])
    write(tmp_path / "glue_sst2/dev.tsv", [("sentence", "label"), *dev])
    for name in ("yelp", "amazon_cells"):
        write(tmp_path / f"uci_sentences/{name}_labelled.txt", [(f"A {name} row\x85 .", 1), ("null", 0)])
    cola = [("gj04", i % 2, "*" if i % 3 else "", f"Sentence {i} .") for i in range(60)]
    write(tmp_path / "glue_cola/train.tsv", cola)
    write(
        tmp_path / "glue_cola/dev.tsv", [("x", 1, "", "Dev one ."), ("x", 0, "*", "sentence 3"), ("y", 0, "", "Dev 2")]
    )
    write(tmp_path / "glue_cola/in_domain_dev.tsv", [("x", 1, "", "Dev one ."), ("x", 0, "*", "sentence 3")])
    write(tmp_path / "glue_cola/out_of_domain_dev.tsv", [("y", 0, "", "Dev 2")])
    for part, seed, count in (("train", 1, 60), ("dev", 2, 6)):
        pairs = pair_rows(count, seed)
        rte = [(i, *pair, ("entailment", "not_entailment")[i % 2]) for i, pair in enumerate(pairs)]
        write(tmp_path / f"glue_rte/{part}.tsv", [("index", "sentence1", "sentence2", "label"), *rte])
        mrpc = [(i % 2, i, -i, *pair) for i, pair in enumerate(pairs)]
        head = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
        write(tmp_path / f"glue_mrpc/{part}.tsv", [head, *mrpc], mark="\ufeff")
    return tmp_path


def write_hans(folder: Path) -> None:
    kinds = [
        (h, g) for h in ("constituent", "lexical_overlap", "subsequence") for g in ("entailment", "non-entailment")
    ]
    for half in (1, 2):
        rows = [(f"long {half} {i} .", f"short {half} {i} .", gold, h) for h, gold in kinds for i in range(100)]
        head = ("sentence1", "sentence2", "gold_label", "heuristic")
        write(folder / f"hans/hans_eval_half{half}.tsv", [head, *rows])


def test_sst2(folder: Path) -> None:
    data = load_task("sst2", SMALL, folder)
    assert set(data.splits) == {"train", "validation", "test", "yelp", "amazon"}
    assert published(data) == [(text.strip(), label) for text, label in sst2_rows(5, 2)]
    assert len(data.splits["validation"]) == 10
    assert data.splits["yelp"]["text"].tolist() == ["A yelp row\x85 .", "null"]
    assert "Of 241 published training rows 1 were removed as duplicates" in data.note
    dropped = 240 - len(data.splits["train"]) - 10
    # A sentence in validation takes its own three phrases along, and no others share four words or stand inside it.
    assert dropped == 30
    assert f"{dropped} were dropped" in " ".join(data.note.split())
    assert data.labels == ("negative", "positive")
    assert data.metrics == ("accuracy",)


def test_sst2_min_words_and_train_size(folder: Path) -> None:
    data = load_task("sst2", {**SMALL, "min_words": 8, "train_size": 20}, folder)
    train = data.splits["train"]["text"]
    assert len(train) == 20
    assert train.str.replace('"', "").str.split().map(len).min() >= 8
    assert set(train) <= set(load_task("sst2", {**SMALL, "train_size": 200}, folder).splits["train"]["text"])


def test_cola(folder: Path) -> None:
    data = load_task("cola", SMALL, folder)
    assert published(data) == [("Dev one .", 1), ("sentence 3", 0), ("Dev 2", 0)]
    assert {split: len(frame) for split, frame in data.splits.items()} == {
        "train": 49, "validation": 10, "test": 3, "in_domain": 2, "out_of_domain": 1,
    }  # fmt: skip
    assert data.splits["in_domain"]["label"].tolist() == [1, 0]
    assert "The 2 rows of in_domain are a part of test. The 1 rows of out_of_domain are a part of test." in data.note
    assert not set(data.splits["train"]["text"]) & {"Sentence 3 .", *data.splits["validation"]["text"]}
    both = pd.concat([data.splits["train"], data.splits["validation"]])
    assert dict(zip(both["text"], both["label"], strict=True)) == {
        f"Sentence {i} .": i % 2 for i in range(60) if i != 3
    }
    assert data.metrics == ("matthews", "accuracy")


@pytest.mark.parametrize(("name", "metrics"), [("rte", ("accuracy",)), ("mrpc", ("f1", "accuracy"))])
def test_pair_tasks_share_no_sentence_across_the_cut(folder: Path, name: str, metrics: tuple[str, ...]) -> None:
    data = load_task(name, SMALL, folder)
    train, validation = data.splits["train"], data.splits["validation"]
    assert 1 <= len(validation) <= 10
    assert len(train) + len(validation) == 60
    for column in ("text", "text_pair"):
        assert not set(train[column]) & set(validation[column])
    assert list(zip(data.splits["test"]["text"], data.splits["test"]["text_pair"], strict=True)) == pair_rows(6, 2)
    assert data.splits["test"]["label"].tolist() == [0, 1, 0, 1, 0, 1]
    assert data.metrics == metrics


def test_rte_labels_are_the_hubs(folder: Path) -> None:
    assert load_task("rte", SMALL, folder).labels == ("entailment", "not_entailment")


def test_hans_is_balanced_and_fixed(folder: Path) -> None:
    write_hans(folder)
    splits = load_task("rte", SMALL, folder).splits
    names = ["hans_constituent", "hans_lexical_overlap", "hans_subsequence"]
    assert list(splits) == ["train", "validation", "test", *names]
    hans = pd.concat([splits[name] for name in names])
    assert len(hans) == 1000
    sizes = hans.groupby(["heuristic", "label"]).size()
    assert sorted(sizes) == [166, 166, 167, 167, 167, 167]
    assert hans["text"].str.contains("long 1").any()
    assert hans["text"].str.contains("long 2").any()
    again = load_task("rte", {**SMALL, "train_size": 20}, folder).splits
    for name in names:
        assert set(splits[name]["heuristic"]) == {name.removeprefix("hans_")}
        assert splits[name].index.tolist() == list(range(len(splits[name])))
        assert again[name].equals(splits[name])


@pytest.mark.parametrize("name", ["sst2", "cola", "rte", "mrpc"])
def test_what_is_missing_or_wrong_is_named(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        load_task(name, SMALL, folder / "nowhere")
    file = folder / f"glue_{name}/dev.tsv"
    whole = file.read_text("utf-8-sig")
    file.write_text("")
    with pytest.raises(UserError, match=r"dev\.tsv: the file is empty"):
        load_task(name, SMALL, folder)
    file.write_text(whole.replace("\t1", "\t7").replace("\n1\t", "\n7\t").replace("not_entailment", "maybe"))
    with pytest.raises(UserError, match=r"dev\.tsv: label '(7|maybe)'"):
        load_task(name, SMALL, folder)
    file.unlink()
    with pytest.raises(UserError, match=rf"task {name}: glue_{name}/dev\.tsv not found in"):
        load_task(name, SMALL, folder)
    with pytest.raises(UserError, match=rf"tasks\.{name}\.validation_sise.*did you mean 'validation_size'"):
        load_task(name, {"validation_sise": 3}, folder)


def hub_set(files: TaskData, names: dict[str, str]) -> datasets.DatasetDict:
    """The hub's form of what the folder holds: other column names, integer labels, an index, a hidden test."""
    train = pd.concat([files.splits["train"], files.splits["validation"]], ignore_index=True)
    parts = {"train": train, "validation": files.splits["test"]}
    frames = {split: frame.rename(columns=names).assign(idx=range(len(frame))) for split, frame in parts.items()}
    frames["test"] = frames["validation"].assign(label=-1)
    return datasets.DatasetDict({s: datasets.Dataset.from_pandas(f, preserve_index=False) for s, f in frames.items()})


@pytest.mark.parametrize("name", ["cola", "rte", "mrpc"])
def test_the_hub_gives_the_same_cut_as_the_files(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = load_task(name, SMALL, folder)
    pair = name != "cola"
    fake = hub_set(files, {"text": "sentence1" if pair else "sentence", "text_pair": "sentence2"})
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*where: Any, **_: Any) -> datasets.DatasetDict:
        asked.append(where)
        return fake

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    from_hub = load_task(name, SMALL, None)
    assert asked == [("nyu-mll/glue", name)]
    assert set(from_hub.splits) == {"train", "validation", "test"}
    for split, frame in from_hub.splits.items():
        ours = files.splits[split]
        assert sorted(map(tuple, frame.to_numpy().tolist())) == sorted(map(tuple, ours.to_numpy().tolist()))
        assert frame["label"].between(0, 1).all()


def test_no_network_is_one_line(tmp_path: Path) -> None:
    code = (
        "from harness.data.task import load_task\nfrom harness.errors import UserError\n"
        "try:\n    load_task('sst2', {}, None)\nexcept UserError as error:\n    print('LINE', error)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("LINE task sst2: nyu-mll/glue cannot be had from the hub")
    assert lines[0].endswith("give --data DIR")
