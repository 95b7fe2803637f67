"""Lightning checkpoints without pickle: tensors as safetensors, everything else as JSON."""

from __future__ import annotations

import json
import os
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO
from safetensors.torch import load_file, save_file


class SafetensorsIO(CheckpointIO):
    """A CheckpointIO whose checkpoint is a folder with `tensors.safetensors` and `state.json`.

    The folder is written under a temporary name and renamed, so a killed process leaves the old one or the new one;
    where it was killed between moving the old one aside and putting the new one in its place, `recover` moves it back.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Writes a checkpoint.

        Raises:
            TypeError: it holds something that is neither a tensor nor plain data.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}-{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        tensors: dict[str, torch.Tensor] = {}
        state = _pack(checkpoint, tensors)
        save_file(tensors, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(json.dumps(state), encoding="utf-8")
        if target.exists():
            old = target.with_name(f".{target.name}-{os.getpid()}-old")
            os.rename(target, old)
            os.rename(temporary, target)
            shutil.rmtree(old)
        else:
            os.rename(temporary, target)

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        """Reads what `save_checkpoint` wrote; tensors on the CPU."""
        tensors = load_file(Path(path) / "tensors.safetensors")
        return _unpack(json.loads((Path(path) / "state.json").read_text(encoding="utf-8")), tensors)

    def remove_checkpoint(self, path: Any) -> None:
        """Deletes a checkpoint."""
        shutil.rmtree(path)


def recover(path: Path) -> None:
    """Puts back the checkpoint that a killed process had moved aside, and removes what it left half-written.

    Only where no process is writing: at the start of the one that resumes.
    """
    for left in sorted(path.parent.glob(f".{path.name}-*")):
        if left.name.endswith("-old") and not path.exists():
            os.rename(left, path)
        else:
            shutil.rmtree(left)


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Plain JSON, with tensors moved to `tensors`. Dictionaries become pair lists: their keys may be integers."""
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        kind = "ordered" if isinstance(value, OrderedDict) else "dict"
        return {kind: [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_pack(item, tensors) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    kind, content = next(iter(value.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "list":
        return [_unpack(item, tensors) for item in content]
    if kind == "tuple":
        return tuple(_unpack(item, tensors) for item in content)
    pairs = [(_unpack(key, tensors), _unpack(item, tensors)) for key, item in content]
    return OrderedDict(pairs) if kind == "ordered" else dict(pairs)
