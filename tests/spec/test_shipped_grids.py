"""Every shipped grid expands and plans, from synthetic data and a made-up hub cache: no network, no GPU, no weights."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from harness.spec.expand import Expansion, expand
from harness.spec.load import grid_folder, load_grid
from harness.spec.published import published_numbers
from harness.spec.published_forms import OnTexts
from harness.store import Store
from harness.store.plan import summary

COMMIT = "a" * 40
WORDS = [a + b for a in ("ka", "lo", "mi", "ru", "te", "zo", "pe", "su") for b in ("ban", "dor", "fel", "gim", "nak")]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
HUB = {"google-bert/bert-base-uncased": 512, "google-bert/bert-large-uncased": 512}
# Training cells without repeats, and regimes.
CELLS = {
    "nanogpt-cpu": (5, 1),
    "nanogpt-gpu": (5, 1),
    "residual-skip": (20, 4),
    "sst2-roles": (64, 1),
    "mosbach-rte": (25, 1),
    "dodge-rte": (625, 1),
    "dynamic-shakespeare": (30, 6),
    "early-late-sst2": (32, 4),
    "e2e-gpt2": (6, 2),
    "holtzman-pydoc": (6, 2),
    "purposes": (432, 9),
    "sst2-purposes": (48, 6),
}
# Combinations that no cell can have: an encoder generates no text.
SKIPPED = {"purposes": {("toy-language", "scratch:bert-tiny")}}


def sentence(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def checkpoint(folder: Path, positions: int) -> None:
    """The files of a BERT checkpoint, with weights that nobody reads."""
    folder.mkdir(parents=True)
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *WORDS])}
    config = {"model_type": "bert", "max_position_embeddings": positions, "vocab_size": len(vocabulary)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))


def write_corpora(data: Path) -> None:
    """Files in the layout of the data folder, with invented text."""
    draw = random.Random(20240917)
    for name in ("tinyshakespeare", "glue_sst2", "glue_rte", "e2e"):
        (data / name).mkdir(parents=True)
    for file, sources in (("trainset", 300), ("devset", 50), ("testset_w_refs", 520)):
        rows = [f'"name[{file} {i}]",{sentence(draw, 9)}' for i in range(sources) for _ in range(2)]
        (data / "e2e" / f"{file}.csv").write_text("\n".join(["mr,ref", *rows]) + "\n", encoding="utf-8")
    play = "\n\n".join(f"{sentence(draw, 2)}:\n{sentence(draw, 12)}." for _ in range(600))
    (data / "tinyshakespeare" / "input.txt").write_text(play + "\n", encoding="utf-8")
    for split, rows in (("train", 2600), ("dev", 120)):
        lines = ["sentence\tlabel", *(f"{sentence(draw, 10)} \t{i % 2}" for i in range(rows))]
        (data / "glue_sst2" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        label = ("entailment", "not_entailment")
        pairs = (f"{i}\t{sentence(draw, 14)}\t{sentence(draw, 8)}\t{label[i % 2]}" for i in range(rows // 4))
        head = "index\tsentence1\tsentence2\tlabel"
        (data / "glue_rte" / f"{split}.tsv").write_text("\n".join([head, *pairs]) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/`, `models/minilm-l6-h384` and `hub/`, the hub client's cache."""
    folder = tmp_path_factory.mktemp("world")
    write_corpora(folder / "data")
    checkpoint(folder / "models" / "minilm-l6-h384", 512)
    for name, positions in HUB.items():
        cache = folder / "hub" / f"models--{name.replace('/', '--')}"
        checkpoint(cache / "snapshots" / COMMIT, positions)
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text(COMMIT)
    return folder


@pytest.fixture
def expanded(world: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Expands a shipped grid in that world."""
    monkeypatch.setenv("TWODICE_DATA", str(world / "data"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(world / "hub"))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(world / "hub"))
    return lambda name: expand(load_grid(name), Store(home / "results"), world / "data")


def plan_text(expansion: Expansion, home: Path) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in summary(expansion, Store(home / "results")):
        console.print(part)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


@pytest.mark.parametrize("name", CELLS)
def test_a_published_study_plans(expanded: object, home: Path, name: str) -> None:
    assert callable(expanded)
    expansion = expanded(name)
    planned = [cell for cell in expansion.training if cell.repeat == 0]
    assert (len(planned), len({cell.regime.name for cell in planned})) == CELLS[name]
    assert len({cell.uid for cell in planned}) == len(planned)
    assert {(skip.task, skip.model) for skip in expansion.skipped} == SKIPPED.get(name, set())
    assert f"{len({cell.uid for cell in expansion.cells})} cells" in plan_text(expansion, home)


@pytest.mark.parametrize("path", sorted(grid_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_published_numbers_are_of_arms_that_have_cells(expanded: object, path: Path) -> None:
    """A name that the tables do not have would leave its verdict open for ever."""
    grid = load_grid(path.stem)
    named = published_numbers(grid)
    if not named:
        return
    assert callable(expanded)
    arms = {(c.factors["task"], c.factors["model"], c.factors["regime"]) for c in expanded(path.stem).training}
    for number in published_numbers(grid):
        assert {(number.task, number.model, regime) for regime in number.regimes} <= arms
        if isinstance(number, OnTexts):
            assert set(number.settings) <= {cell.setting for cell in expanded(path.stem).generation}


def test_every_published_study_is_tested_here() -> None:
    with_numbers = {path.stem for path in grid_folder().glob("*.yaml") if published_numbers(load_grid(path.stem))}
    assert with_numbers == {
        "nanogpt-cpu", "nanogpt-gpu", "residual-skip", "mosbach-rte", "dodge-rte", "e2e-gpt2", "holtzman-pydoc",
        "purposes",
    }  # fmt: skip
    assert with_numbers <= set(CELLS)
