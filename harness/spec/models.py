"""Which model a cell starts from, found out without torch: a hub id, a local folder, or a scratch preset."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.data.families import ENCODERS, FAMILIES, Family, first_position
from harness.data.tokenizer import load_tokenizer
from harness.errors import UserError, nearest
from harness.spec.grid import ModelOptions
from harness.spec.presets import PRESETS, Shape

# What a checkpoint folder is read for; nothing else of it is opened, and no pickled weights ever.
_FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)


@dataclass(frozen=True)
class Model:
    """A model as a grid names it, resolved.

    Attributes:
        name: as tables print it: a preset, a hub id, or the last part of a folder's path (never this machine's path).
        family: what transformers calls the model type.
        shape: of a scratch preset, else None.
        folder: of a checkpoint, else None.
        digest: of the checkpoint's files, else "".
        positions: the longest input.
        layers: number of layers.
        tokenizer: own, bpe or char.
        vocabulary: size of a trained BPE vocabulary (an upper bound of what the corpus gives).
        pad: the padding id that a checkpoint's positions are counted from (RoBERTa), else None.
    """

    name: str
    family: Family
    positions: int
    layers: int
    tokenizer: str
    vocabulary: int
    shape: Shape | None = None
    folder: Path | None = None
    digest: str = ""
    pad: int | None = None

    @property
    def encoder(self) -> bool:
        """Whether it sees a whole text at once: it classifies, is pretrained by masking, and cannot generate."""
        return self.family in ENCODERS

    def describe(self) -> dict[str, Any]:
        """Canonical form for identities: content, never the place or the name it was found under."""
        start = {"checkpoint": self.digest} if self.shape is None else {"scratch": self.shape.describe()}
        vocabulary = self.vocabulary if self.tokenizer == "bpe" else None
        return {**start, "tokenizer": self.tokenizer, "vocabulary": vocabulary}


@dataclass(frozen=True)
class Checkpoint:
    """A model folder that is only read: a judge of texts.

    Attributes:
        name: as tables print it.
        folder: with config.json, safetensors and tokenizer files.
        digest: of these files.
    """

    name: str
    folder: Path
    digest: str


def resolve_checkpoint(name: str, where: str) -> Checkpoint:
    """A model of any kind by folder or hub id, as a judge of texts.

    Raises:
        UserError: it is not to be had, or has no safetensors weights.
    """
    folder = Path(os.path.expandvars(name)).expanduser().resolve()
    label = folder.name
    if not folder.is_dir():
        folder, label = _download(name, f"{where}: {name}", ""), name
    _config(folder, f"{where}: {name}")
    _check_weights(folder, f"{where}: {name}")
    try:
        load_tokenizer(folder)
    except UserError as error:
        raise UserError(f"{where}: {name}: {error}") from None
    return Checkpoint(label, folder, _digest(folder))


def resolve_model(name: str, options: dict[str, Any], where: str) -> Model:
    """Finds out what a grid's model is.

    Raises:
        UserError: unknown preset, missing folder or hub id, wrong option, unsupported family, pickled weights only.
    """
    from pydantic import ValidationError

    try:
        parsed = ModelOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        hint = nearest(key, sorted(ModelOptions.model_fields)) if first["type"] == "extra_forbidden" else ""
        raise UserError(f"{where}: models.{name}.{key}: {first['msg']}{hint}") from None
    if name.startswith("scratch:"):
        return _preset(name, parsed, where)
    for key in ("layers", "width", "heads", "positions", "pretrain_steps"):
        if getattr(parsed, key) is not None:
            raise UserError(f"{where}: models.{name}.{key}: only a scratch preset has it")
    return _checkpoint(name, parsed, where)


def _preset(name: str, options: ModelOptions, where: str) -> Model:
    preset = name.removeprefix("scratch:")
    if preset not in PRESETS:
        raise UserError(f"{where}: unknown scratch preset '{name}'{nearest(preset, list(PRESETS))}")
    sizes = {
        key: getattr(options, key)
        for key in ("layers", "width", "heads", "positions", "pretrain_steps")
        if getattr(options, key) is not None
    }
    shape = replace(PRESETS[preset], **sizes)
    if shape.width % shape.heads:
        raise UserError(f"{where}: models.{name}: width {shape.width} must be a multiple of heads {shape.heads}")
    tokenizer = options.tokenizer or "bpe"
    if tokenizer == "own":
        raise UserError(f"{where}: models.{name}.tokenizer: a scratch preset has no own tokenizer (allowed: bpe, char)")
    return Model(name, shape.family, shape.positions, shape.layers, tokenizer, options.vocabulary, shape=shape)


def _checkpoint(name: str, options: ModelOptions, where: str) -> Model:
    folder = Path(os.path.expandvars(name)).expanduser().resolve()
    label = folder.name
    if not folder.is_dir():
        presets = ", or " + ", ".join(f"scratch:{preset}" for preset in PRESETS)
        folder, label = _download(name, f"{where}: models.{name}", presets), name
    config = _config(folder, f"{where}: models.{name}")
    family = config.get("model_type")
    if family not in FAMILIES:
        raise UserError(
            f"{where}: models.{name}: model type '{family}' is not supported (allowed: {', '.join(FAMILIES)})"
        )
    _check_weights(folder, f"{where}: models.{name}")
    if options.tokenizer not in (None, "own"):
        raise UserError(
            f"{where}: models.{name}.tokenizer: pretrained weights go with their own tokenizer (allowed: own)"
        )
    positions = int(config.get("max_position_embeddings") or config.get("n_positions") or 0)
    pad = int(config.get("pad_token_id", 1)) if family == "roberta" else None
    positions -= 0 if pad is None else first_position(family, pad)
    layers = next((int(config[key]) for key in ("num_hidden_layers", "n_layers", "n_layer") if config.get(key)), 0)
    digest = _digest(folder)
    return Model(label, family, positions, layers, "own", options.vocabulary, folder=folder, digest=digest, pad=pad)


def _check_weights(folder: Path, where: str) -> None:
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{where}: {folder} has no .safetensors weights (pickled weights are never read)")


def _config(folder: Path, where: str) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{where}: {path} is missing (a model folder has config.json and model.safetensors)") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{where}: {path} is not readable JSON: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{where}: {path} must hold a JSON object")
    return config


def _download(name: str, where: str, more: str) -> Path:
    """The hub's snapshot folder: from the local cache where it is whole, else from the network.

    Args:
        where: begins a message.
        more: what else is allowed there, beside a hub id and a folder.
    """
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise UserError(f"{where}: no such folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:  # noqa: BLE001 - the hub client raises a dozen types; each means "not to be had"
        raise UserError(
            f"{where}: no such folder, not in the hub's cache, and not to be had from the hub "
            f"({type(error).__name__}); allowed: a hub id, a folder{more}"
        ) from None


def model_type(folder: Path) -> str:
    """What the configuration of a checkpoint calls its family; empty where it does not say."""
    return str(_config(folder, str(folder)).get("model_type", ""))


def _digest(folder: Path) -> str:
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    stats = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    return _digest_files(stats)


@lru_cache(maxsize=64)
def _digest_files(files: tuple[tuple[str, int, int], ...]) -> str:
    """Digest of names and contents; remembered within one process only, where a file's time stamp can be trusted."""
    digest = hashlib.sha256()
    for name, size, _ in files:
        digest.update(f"{Path(name).name}:{size}:".encode())
        with Path(name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]
