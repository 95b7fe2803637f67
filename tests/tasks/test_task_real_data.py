"""The published sets as they really are: the counts of the folder's README, and no leak over a cut."""

from pathlib import Path

import pytest

from harness.data.splits import normalise
from harness.data.task import TaskData, load_task
from harness.data.tokenizer import train_tokenizer

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not DATA.is_dir(), reason="the folder of real data (../shared/data) is not beside the repository"
    ),
]


def sizes(data: TaskData) -> dict[str, int]:
    return {split: len(frame) for split, frame in data.splits.items()}


def test_sst2_counts_and_no_phrase_across_the_cut() -> None:
    data = load_task("sst2", {}, DATA)
    rows = sizes(data)
    assert (rows["test"], rows["validation"], rows["yelp"], rows["amazon"]) == (872, 872, 1000, 1000)
    assert data.splits["test"]["label"].sum() == 444
    assert 50_000 < rows["train"] < 67_349 - 872
    assert "Of 67349 published" in data.note
    held_out = [normalise(text) for text in data.splits["validation"]["text"]]
    everything = " | ".join(f" {text} " for text in held_out)
    grams = {" ".join(words[i : i + 4]) for words in map(str.split, held_out) for i in range(len(words) - 3)}
    for text in map(normalise, data.splits["train"]["text"]):
        words = text.split()
        assert not grams.intersection(" ".join(words[i : i + 4]) for i in range(len(words) - 3))
        assert len(words) >= 4 or f" {text} " not in everything
    assert not set(map(normalise, data.splits["test"]["text"])) & set(map(normalise, data.splits["train"]["text"]))


def test_sst2_reads_every_row() -> None:
    data = load_task("sst2", {"train_size": 2000}, DATA)
    assert sizes(data)["train"] == 2000
    assert not data.splits["train"]["text"].str.endswith(" ").any()


@pytest.mark.parametrize(
    ("name", "published", "dev", "ones"), [("cola", 8551, 1043, 721), ("rte", 2490, 277, 131), ("mrpc", 3668, 408, 279)]
)
def test_other_glue_counts(name: str, published: int, dev: int, ones: int) -> None:
    data = load_task(name, {}, DATA)
    assert f"Of {published} published" in data.note
    assert sizes(data)["test"] == sizes(data)["validation"] == dev
    assert data.splits["test"]["label"].sum() == ones
    assert published - 2 * dev < sizes(data)["train"] <= published - dev
    assert not data.splits["test"]["text"].str.startswith("\ufeff").any()


def test_cola_domains_and_hans() -> None:
    cola = load_task("cola", {}, DATA).splits
    assert (len(cola["in_domain"]), cola["in_domain"]["label"].sum()) == (527, 367)
    assert set(cola["in_domain"]["text"]) | set(cola["out_of_domain"]["text"]) == set(cola["test"]["text"])
    assert (len(cola["out_of_domain"]), cola["out_of_domain"]["label"].sum()) == (516, 354)
    assert set(cola["out_of_domain"]["text"]) <= set(cola["test"]["text"])
    rte = load_task("rte", {}, DATA).splits
    shifted = {split: sorted(frame.groupby("label").size()) for split, frame in rte.items() if "hans" in split}
    assert shifted == {
        "hans_constituent": [167, 167], "hans_lexical_overlap": [167, 167], "hans_subsequence": [166, 166],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["rte", "mrpc"])
def test_no_sentence_across_the_cut(name: str) -> None:
    splits = load_task(name, {}, DATA).splits
    sides = [
        {normalise(text) for column in ("text", "text_pair") for text in splits[split][column]}
        for split in ("train", "validation")
    ]
    assert not sides[0] & sides[1]


def test_shakespeare_has_65_characters_and_nanogpts_sizes() -> None:
    data = load_task("shakespeare", {}, DATA)
    parts = {split: data.separator.join(frame["text"]) for split, frame in data.splits.items()}
    assert (len(parts["train"]), len(parts["validation"])) == (1_003_854, 111_540)
    assert len(set(parts["train"] + parts["test"])) == 65
    tokenizer = train_tokenizer("char", [parts["train"]], 100, "gpt2")
    assert tokenizer.get_vocab_size() == 65 + 2  # <|endoftext|> and <|unk|>
    ids = tokenizer.encode(parts["validation"]).ids
    assert len(ids) == 111_540
    assert tokenizer.token_to_id("<|unk|>") not in ids


def test_wikitext2_and_e2e_counts() -> None:
    wikitext = load_task("wikitext2", {}, DATA)
    assert sizes(wikitext) == {"train": 54, "validation": 6, "test": 60}
    assert wikitext.separator.join(wikitext.splits["test"]["text"]) == (DATA / "wikitext2/test.txt").read_text("utf-8")
    e2e = load_task("e2e", {}, DATA)
    assert sizes(e2e) == {"train": 42_061, "validation": 4_672, "test": 4_693}
    distinct = {split: set(frame["source"]) for split, frame in e2e.splits.items()}
    assert {split: len(sources) for split, sources in distinct.items()} == {
        "train": 4_862, "validation": 547, "test": 630,
    }  # fmt: skip
    assert not distinct["train"] & (distinct["validation"] | distinct["test"])
