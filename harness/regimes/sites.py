"""Dropout sites of a real model: which modules they are, and setting their rates."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from harness.errors import CellError, nearest
from harness.regimes import families


@dataclass(frozen=True)
class Slot:
    """One place in a model where one site's dropout happens.

    Attributes:
        site: the site it belongs to.
        module: its `.p` is the rate; attention kernels read it there too (under sdpa and eager).
        owner: name of the module inside whose forward the dropout call is seen (the audit compares by it).
        calls: how often that call is made in one forward.
    """

    site: str
    module: nn.Dropout
    owner: str
    calls: int = 1


class Sites:
    """All dropout slots of one model.

    Missing sites are inserted with hooks (a classifier's head, the identity branch); the modules that carry them
    are sub-modules without parameters, so `train()` and `eval()` reach them and the state dict does not change.
    """

    def __init__(self, model: nn.Module, slots: list[Slot]) -> None:
        self.model = model
        self.slots = slots

    @property
    def names(self) -> tuple[str, ...]:
        """The sites this model has."""
        return tuple(dict.fromkeys(slot.site for slot in self.slots))

    def set(self, rates: Mapping[str, float]) -> None:
        """Sets the rate of every slot; a site without a rate gets 0.

        Raises:
            CellError: a rate above 0 for a site that the model does not have.
        """
        lacking = [site for site, rate in rates.items() if rate > 0 and site not in self.names]
        if lacking:
            raise CellError(f"{type(self.model).__name__} has no site {', '.join(lacking)}")
        for slot in self.slots:
            slot.module.p = float(rates.get(slot.site, 0.0))


Finder = Callable[[Any], list[Slot]]
FAMILIES: dict[str, Finder] = {}


def family(model_type: str) -> Callable[[Finder], Finder]:
    """Registers the function that finds and inserts the sites of one transformers `model_type`."""

    def register(finder: Finder) -> Finder:
        FAMILIES[model_type] = finder
        return finder

    return register


def insert(parent: nn.Module, name: str) -> nn.Dropout:
    """A dropout module at rate 0, as a sub-module of `parent`; a second insertion would double the dropout."""
    if hasattr(parent, name):
        raise CellError(f"sites of {type(parent).__name__} are already installed")
    dropout = nn.Dropout(0.0)
    parent.add_module(name, dropout)
    return dropout


def install(model: nn.Module) -> Sites:
    """Finds the sites of a transformers model, inserts the missing ones, and sets every rate to 0.

    Raises:
        CellError: the model's family is not supported.
    """
    for module in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"{families.__name__}.{module.name}")
    model_type = str(getattr(getattr(model, "config", None), "model_type", "none"))
    if model_type not in FAMILIES:
        raise CellError(
            f"no dropout sites are known for model type '{model_type}'{nearest(model_type, list(FAMILIES))}"
        )
    sites = Sites(model, FAMILIES[model_type](model))
    sites.set({})
    return sites


def qualified(model: nn.Module, module: nn.Module) -> str:
    """Name of a sub-module inside `model`."""
    names: dict[int, str] = {id(candidate): name for name, candidate in model.named_modules()}
    return names[id(module)]
