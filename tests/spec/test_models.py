"""Which model a cell starts from: presets, local folders, and hub ids through the hub's own cache layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.spec.models import resolve_model
from harness.spec.presets import PRESETS


def checkpoint(folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True)
    values = {"model_type": "bert", "max_position_embeddings": 64, "vocab_size": 30, **config}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    model = resolve_model(f"scratch:{name}", {}, "g")
    assert model.shape == PRESETS[name]
    assert (model.positions, model.layers) == (model.shape.positions, model.shape.layers)
    assert model.encoder == (not name.startswith("gpt2"))
    assert model.tokenizer == "bpe"
    smaller = resolve_model(f"scratch:{name}", {"layers": 1, "tokenizer": "char"}, "g")
    assert smaller.describe() != model.describe()


def test_a_folder_is_known_by_its_content(tmp_path: Path) -> None:
    one = resolve_model(str(checkpoint(tmp_path / "a")), {}, "g")
    same = resolve_model(str(checkpoint(tmp_path / "b")), {}, "g")
    other = resolve_model(str(checkpoint(tmp_path / "c", vocab_size=31)), {}, "g")
    assert one.describe() == same.describe()
    assert one.describe() != other.describe()
    assert (one.name, one.positions, one.family) == ("a", 64, "bert")


@pytest.mark.parametrize(
    ("config", "encoder", "positions", "layers"),
    [
        ({"model_type": "bert", "num_hidden_layers": 12}, True, 64, 12),
        ({"model_type": "electra", "num_hidden_layers": 12, "embedding_size": 8}, True, 64, 12),
        ({"model_type": "distilbert", "n_layers": 6}, True, 64, 6),
        # Counted on from the id of padding, which is 1 where the file does not say.
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, True, 512, 0),
        ({"model_type": "roberta", "max_position_embeddings": 514}, True, 512, 0),
        ({"model_type": "roberta", "max_position_embeddings": 129, "pad_token_id": 0}, True, 128, 0),
        ({"model_type": "gpt2", "max_position_embeddings": None, "n_positions": 32, "n_layer": 6}, False, 32, 6),
    ],
)
def test_what_a_folders_configuration_says(
    tmp_path: Path, config: dict[str, object], encoder: bool, positions: int, layers: int
) -> None:
    model = resolve_model(str(checkpoint(tmp_path / "a", **config)), {}, "g")
    assert model.family == config["model_type"]
    assert (model.encoder, model.positions, model.layers) == (encoder, positions, layers)


def test_a_folder_may_be_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path / "models" / "mine")
    monkeypatch.setenv("TWODICE_DATA", str(tmp_path / "data"))
    assert resolve_model("${TWODICE_DATA}/../models/mine", {}, "g").name == "mine"


def test_a_hub_id_is_found_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "hub" / "models--someone--tiny-bert"
    commit = "a" * 40
    checkpoint(cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    model = resolve_model("someone/tiny-bert", {}, "g")
    assert model.name == "someone/tiny-bert"
    assert model.describe() == resolve_model(str(cache / "snapshots" / commit), {}, "g").describe()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("scratch:bert-tiney", {}, "unknown scratch preset 'scratch:bert-tiney', did you mean 'bert-tiny'"),
        ("scratch:bert-tiny", {"layer": 2}, r"models\.scratch:bert-tiny\.layer: .*did you mean 'layers'"),
        ("scratch:bert-tiny", {"width": 30, "heads": 4}, "width 30 must be a multiple of heads 4"),
        ("scratch:bert-tiny", {"tokenizer": "own"}, "has no own tokenizer"),
        ("scratch:bert-tiny", {"trust_remote_code": True}, "trust_remote_code"),
        ("./nowhere", {}, "no such folder"),
        ("no/such-model", {}, r"not in the hub's cache.*allowed: a hub id, a folder, or scratch:bert-tiny"),
    ],
)
def test_what_is_wrong_is_named(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        resolve_model(name, options, "grid g")
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="model type 't5' is not supported"):
        resolve_model(str(checkpoint(tmp_path / "t5", model_type="t5")), {}, "g")
    pickled = checkpoint(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled weights are never read"):
        resolve_model(str(pickled), {}, "g")
    broken = checkpoint(tmp_path / "broken")
    (broken / "config.json").write_text("{")
    with pytest.raises(UserError, match="not readable JSON"):
        resolve_model(str(broken), {}, "g")
    (broken / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is missing"):
        resolve_model(str(broken), {}, "g")
    with pytest.raises(UserError, match="pretrained weights go with their own tokenizer"):
        resolve_model(str(checkpoint(tmp_path / "ok")), {"tokenizer": "char"}, "g")
