"""Dropout sites of a real model: finding them, putting a regime's mechanisms into place, and setting rates."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from harness.errors import CellError, nearest
from harness.regimes import families
from harness.regimes.anatomy import Anatomy, Slot
from harness.regimes.mechanisms import MECHANISMS, Noise, Placed
from harness.regimes.noise import Carrier, WeightMix
from harness.regimes.regime import BERNOULLI, Regime


class Sites:
    """All dropout slots of one model.

    Missing sites are inserted with hooks (a classifier's head, the identity branch); the modules that carry them
    are sub-modules without parameters, so `train()` and `eval()` reach them and the state dict does not change.
    """

    def __init__(self, anatomy: Anatomy, regime: Regime) -> None:
        self.model, self.regime = anatomy.model, regime
        self.layers, self.slots = len(anatomy.layers), anatomy.slots

    @property
    def names(self) -> tuple[str, ...]:
        """The sites this model has, and the mechanisms that were put into it."""
        return tuple(dict.fromkeys(slot.site for slot in self.slots))

    def rate_of(self, slot: Slot, rates: Mapping[str, float]) -> float:
        """What one slot's rate is where its site has this one: the regime may scale it by layer."""
        return rates.get(slot.site, 0.0) * self.regime.factor(slot.site, slot.layer, self.layers)

    def set(self, rates: Mapping[str, float]) -> None:
        """Sets the rate of every slot; a site without a rate gets 0.

        Raises:
            CellError: a rate above 0 for a site that the model does not have.
        """
        lacking = [site for site, rate in rates.items() if rate > 0 and site not in self.names]
        if lacking:
            raise CellError(f"{type(self.model).__name__} has no site {', '.join(lacking)}")
        for slot in self.slots:
            slot.module.p = self.rate_of(slot, rates)

    def applied(self) -> dict[str, float]:
        """The rates as the modules carry them, by site, or by `site/layer` where the regime scales by layer."""
        return {self._label(slot): float(slot.module.p) for slot in self.slots}

    def weights(self) -> dict[str, Tensor] | None:
        """The matrices of this forward, by parameter name, where a mechanism changes weights; else None."""
        mixes = [slot.module for slot in self.slots if isinstance(slot.module, WeightMix) and not slot.module.asleep]
        return {mix.weight: mix.mixed() for mix in mixes} or None

    def _label(self, slot: Slot) -> str:
        scaled = slot.layer is not None and self.regime.scaled(slot.site)
        return f"{slot.site}/{slot.layer}" if scaled else slot.site


Finder = Callable[[Any], Anatomy]
FAMILIES: dict[str, Finder] = {}


def family(*model_types: str) -> Callable[[Finder], Finder]:
    """Registers the function that finds and inserts the sites of transformers' `model_type`s."""

    def register(finder: Finder) -> Finder:
        FAMILIES.update(dict.fromkeys(model_types, finder))
        return finder

    return register


def install(model: nn.Module, regime: Regime | None = None) -> Sites:
    """Finds the sites of a transformers model, inserts the missing ones and the regime's mechanisms, at rate 0.

    Raises:
        CellError: the model's family is not supported, or it has a dropout that no site knows.
    """
    for module in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"{families.__name__}.{module.name}")
    model_type = str(getattr(getattr(model, "config", None), "model_type", "none"))
    if model_type not in FAMILIES:
        raise CellError(
            f"no dropout sites are known for model type '{model_type}'{nearest(model_type, list(FAMILIES))}"
        )
    regime = regime or Regime("none")
    anatomy = FAMILIES[model_type](model)
    for slot in list(anatomy.slots):
        _choose_noise(slot, regime)
    for name in regime.mechanisms:
        placed = MECHANISMS[name]
        assert issubclass(placed, Placed)
        anatomy.slots += placed.attach(anatomy)
    _refuse_unknown(anatomy)
    sites = Sites(anatomy, regime)
    sites.set({})
    return sites


def _choose_noise(slot: Slot, regime: Regime) -> None:
    noise = regime.channels[slot.site].noise if slot.site in regime.channels else BERNOULLI
    if noise == BERNOULLI:
        return
    chosen = MECHANISMS[noise]
    if not isinstance(slot.module, Carrier) or not issubclass(chosen, Noise):
        raise CellError(f"site {slot.site} cannot draw {noise} noise: its kernel draws its own")
    slot.module.draw = chosen.draw


def _refuse_unknown(anatomy: Anatomy) -> None:
    known = {id(slot.module) for slot in anatomy.slots}
    for name, module in anatomy.model.named_modules():
        if "dropout" in type(module).__name__.lower() and id(module) not in known:
            raise CellError(f"{type(anatomy.model).__name__} has a dropout that no site knows: {name}")
