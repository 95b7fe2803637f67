"""What a cell is: its canonical form, its uid, and why it is not in the store yet."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

Identity = dict[str, Any]

# One version per stage of the computation. Whoever changes the numbers of a stage raises its version; a test holds
# golden numbers of a tiny cell and fails when they move and the version does not.
STAGE_VERSIONS = {"base": 1, "training": 2, "generation": 2}


def canonical(identity: Identity) -> str:
    """The one text form of an identity: sorted keys, shortest float form, no spaces.

    Raises:
        TypeError, ValueError: a value that is not plain JSON (never str() of something unknown), or not finite.
    """
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def uid(identity: Identity) -> str:
    """Content address of a cell: 20 hex digits (80 bits) of SHA-256."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()[:20]


def flatten(identity: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of an identity as (dotted key, value)."""
    for key, value in identity.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def difference(wanted: Identity, stored: Identity) -> dict[str, tuple[Any, Any]]:
    """Keys in which two identities differ, as key -> (stored, wanted); a missing key is None."""
    new, old = dict(flatten(wanted)), dict(flatten(stored))
    return {key: (old.get(key), new.get(key)) for key in sorted({*new, *old}) if old.get(key) != new.get(key)}


def explain(wanted: Identity, stored: list[Identity]) -> str:
    """Why a cell is a miss: in what it differs from the nearest stored cell of its kind."""
    same_kind = [identity for identity in stored if identity.get("kind") == wanted.get("kind")]
    if not same_kind:
        return "nothing of its kind is stored"
    nearest = min((difference(wanted, identity) for identity in same_kind), key=len)
    parts = [f"{key} {old!r} -> {new!r}" for key, (old, new) in list(nearest.items())[:3]]
    more = f" and {len(nearest) - 3} more" if len(nearest) > 3 else ""
    return f"nearest stored cell differs in {', '.join(parts)}{more}"


@lru_cache(maxsize=1)
def environment() -> dict[str, str]:
    """What else may move the last bits: versions, processor, threads. Stored beside the uid, not in it."""
    packages = ("torch", "transformers", "pytorch-lightning", "tokenizers", "numpy", "evaluate", "scikit-learn")
    return {
        **{package: metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "gpu": _gpus(),
        "threads": "1",
    }


def environment_digest() -> str:
    """12 hex digits of the environment."""
    return hashlib.sha256(canonical(dict(environment())).encode()).hexdigest()[:12]


def device_type(wanted: str) -> str:
    """`cpu` or `cuda`, found without torch; the worker checks it with torch before it trains.

    The CPU build of torch cannot use a GPU that is there; a build with CUDA can.
    """
    if wanted != "auto":
        return wanted
    return "cuda" if os.path.exists("/dev/nvidiactl") and "+cpu" not in metadata.version("torch") else "cpu"


def _gpus() -> str:
    """Models of the NVIDIA GPUs, as their driver tells them; dropout masks of one key differ between models."""
    names = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        names += [line.split(":", 1)[1].strip() for line in lines if line.startswith("Model")]
    return ", ".join(names) or "none"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"
