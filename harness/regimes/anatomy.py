"""The anatomy of a model, in words that hold for every family: layers, branches, heads, dropout slots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from harness.errors import CellError
from harness.regimes.noise import Carrier, Draw


@dataclass(frozen=True)
class Slot:
    """One place in a model where one site's dropout happens.

    Attributes:
        site: the site, or the mechanism, it belongs to.
        module: its `.p` is the rate; attention kernels read it there too (under sdpa and eager).
        owner: name of the module inside whose forward the dropout call is seen (the audit compares by it).
        calls: how often that call is made in one forward.
        layer: index of its layer; None outside the layers.
    """

    site: str
    module: nn.Dropout
    owner: str
    calls: int = 1
    layer: int | None = None


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        block: the whole layer; its first argument is what it returns when it is skipped.
        projection: the attention's output projection; its input is the heads side by side.
        heads: number of attention heads.
        branches: (norm, branch) of a pre-LN layer's two sub-layers; empty for post-LN.
    """

    block: nn.Module
    projection: nn.Module
    heads: int
    branches: tuple[tuple[nn.Module, nn.Module], ...] = ()


@dataclass
class Anatomy:
    """What a family's file finds in a model: its layers, its word embeddings, and the slots of its dropout sites."""

    model: Any
    words: nn.Embedding
    layers: list[Layer]
    slots: list[Slot] = field(default_factory=list)

    def name(self, module: nn.Module) -> str:
        """Name of a sub-module inside the model."""
        names: dict[int, str] = {id(candidate): name for name, candidate in self.model.named_modules()}
        return names[id(module)]

    def at(self, site: str) -> list[Slot]:
        """The slots of one site."""
        return [slot for slot in self.slots if slot.site == site]

    def add(self, site: str, parent: nn.Module, name: str, layer: int | None = None, *, calls: int = 1) -> None:
        """The slot of a dropout that the class has; its module is replaced by one that can draw other noise, too."""
        module = Carrier(functional.dropout)
        setattr(parent, name, module)
        self.add_inserted(site, module, layer, calls=calls)

    def add_inserted(self, site: str, module: nn.Dropout, layer: int | None = None, *, calls: int = 1) -> None:
        """The slot of a dropout that was inserted with hooks."""
        self.slots.append(Slot(site, module, self.name(module), calls, layer))

    def add_attention(self, attention: nn.Module, dropout: nn.Dropout, layer: int) -> None:
        """The slot of attention probabilities: the module is never called, the kernel reads its `.p`."""
        self.slots.append(Slot("attention", dropout, self.name(attention), layer=layer))

    @property
    def special_ids(self) -> set[int]:
        """Ids that the configuration names as special tokens."""
        names = ("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id")
        found = (getattr(self.model.config, name, None) for name in names)
        return {one for ids in found if ids is not None for one in (ids if isinstance(ids, list) else [ids])}


def carrier(parent: nn.Module, name: str, draw: Draw = functional.dropout) -> Carrier:
    """A module that carries a rate, at rate 0, as a sub-module of `parent`.

    Raises:
        CellError: there is one: a second insertion would double the dropout.
    """
    if hasattr(parent, name):
        raise CellError(f"sites of {type(parent).__name__} are already installed")
    module = Carrier(draw)
    parent.add_module(name, module)
    return module


def first(output: Any) -> Tensor:
    """The hidden states of a module's output, which is a tensor or a tuple that begins with it."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


def replaced(output: Any, hidden: Tensor) -> Any:
    """A module's output with other hidden states."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def drop_skip(norm: nn.Module, branch: nn.Module) -> Carrier:
    """Turns x + f(x) into drop(x) + f(x) where a block adds in line: adds drop(x) - x to the branch's output.

    x is the first input of `norm`, the module that sees the skip's input (a pre-LN layer's norm: SIGUL 2024 does not
    drop the norm's input; a post-LN layer's branch itself). Equal to the explicit block up to rounding (about 1e-6 in
    float32), bit-equal at rate 0 and in eval mode.
    """
    dropout = carrier(branch, "identity_dropout")
    skip: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        if not dropout.asleep:
            skip[:] = [args[0] if args else kwargs["hidden_states"]]

    def add(_: nn.Module, __: Any, output: Any) -> Any:
        if not skip:
            return None
        x = skip.pop()
        return replaced(output, first(output) + (dropout(x) - x))

    norm.register_forward_pre_hook(keep, with_kwargs=True)
    branch.register_forward_hook(add)
    return dropout
