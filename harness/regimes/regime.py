"""A regime: a rate schedule for every dropout site, mechanisms beside them, and what replaces dropout. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.regimes.mechanisms import MECHANISMS, Objective, Placed
from harness.regimes.schedules import Schedule
from harness.regimes.schedules.constant import Constant
from harness.regimes.schedules.matched import Matched

if TYPE_CHECKING:
    from harness.regimes.mechanisms.base import Loss

# site -> what it is; the order is the one in which tables list them.
SITES: dict[str, str] = {
    "embedding": "the sum of the embeddings, before the first block",
    "attention": "attention probabilities",
    "sublayer": "output of each sub-layer before the addition (Vaswani et al. 2017; BERT hidden, GPT-2 resid)",
    "identity": "the skip branch itself (Residual Dropout, SIGUL 2024: y = drop(x) + f(x))",
    "head": "the input of the classifier",
}
# site -> where it is from.
SOURCES: dict[str, str] = {
    "embedding": "Vaswani et al. 2017, arXiv 1706.03762; BERT, GPT-2 embd_pdrop",
    "attention": "transformers' BERT attention_probs_dropout_prob, GPT-2 attn_pdrop",
    "sublayer": "Vaswani et al. 2017, arXiv 1706.03762 (their Residual Dropout)",
    "identity": "Residual Dropout, SIGUL 2024 (2024.sigul-1.35; formula from code that cites it)",
    "head": "transformers' classifier_dropout",
}
# `identity` is not in `all`: it is another method, and its rates live on another scale.
ALL_SITES = ("embedding", "attention", "sublayer", "head")
BERNOULLI = "bernoulli"
UNIFORM: tuple[float, ...] | str = "uniform"
OUTSIDE_LAYERS = ("embedding", "head", "token_dropout")


@dataclass(frozen=True)
class Channel:
    """Whatever has a rate: a site or a mechanism.

    Attributes:
        noise: bernoulli, or a mechanism of kind noise.
        depth: factor of the rate by layer: uniform (1), linear (from 0 at the first layer to 1 at the last, as
            stochastic depth has it) or one factor per layer.
    """

    schedule: Schedule
    noise: str = BERNOULLI
    depth: tuple[float, ...] | str = UNIFORM

    def factor(self, layer: int | None, layers: int) -> float:
        """What the rate is multiplied by in one layer; outside the layers it is not scaled."""
        if layer is None or self.depth == UNIFORM:
            return 1.0
        if self.depth == "linear":
            return 1.0 if layers == 1 else layer / (layers - 1)
        return float(self.depth[layer])

    def zero(self) -> bool:
        """Whether the rate is 0 everywhere, at every step."""
        return self.schedule.zero() or (isinstance(self.depth, tuple) and not any(self.depth))

    def impossible(self, total: int, validations: int) -> str:
        """Why its schedule has no meaning with so many steps and validations before the last, or an empty string."""
        schedule = self.schedule
        if schedule.driven:
            return schedule.unmoved(validations)
        if isinstance(schedule, Matched) and schedule.impossible(total):
            return schedule.impossible(total)
        highest = max(schedule.rate(step, total) for step in range(total))
        if highest == 0.0 and not schedule.zero():
            return f"{schedule.name} is 0 at all {total} steps"
        if self.noise == "gaussian" and highest >= 1.0:
            return f"Gaussian noise has no finite variance at rate {highest:g} (allowed: below 1)"
        return ""

    def describe(self) -> dict[str, Any]:
        """Canonical form: the schedule's, with noise and depth only where they are not the usual ones."""
        more: dict[str, Any] = {}
        if self.noise != BERNOULLI:
            more["noise"] = self.noise
        if self.depth != UNIFORM:
            more["depth"] = self.depth if isinstance(self.depth, str) else list(self.depth)
        return {"rate": self.schedule.describe(), **more} if more else self.schedule.describe()


@dataclass(frozen=True)
class Regime:
    """What one arm does. A site that is not named has rate 0, whatever the model's configuration says.

    Attributes:
        channels: sites and mechanisms with a rate.
        objectives: mechanisms that change the training loss.
        settings: training settings that this arm overrides, for example weight_decay.
    """

    name: str
    channels: Mapping[str, Channel] = field(default_factory=dict)
    objectives: Mapping[str, Objective] = field(default_factory=dict)
    settings: Mapping[str, float] = field(default_factory=dict)

    def rates(self, step: int, total: int, losses: Sequence[float] = ()) -> dict[str, float]:
        """The rate of every site, and of each mechanism in this regime, at one optimiser step.

        Args:
            step, total: optimiser steps.
            losses: the validation losses so far, oldest first; only a driven schedule looks at them.
        """
        named = dict.fromkeys(SITES, 0.0)
        return named | {
            name: channel.schedule.rate_after(step, total, losses) for name, channel in self.channels.items()
        }

    def headline(self) -> dict[str, float]:
        """One rate per site for lists: the first step's, or a matched one's mean, as its scale depends on the steps."""
        named = dict.fromkeys(SITES, 0.0)
        schedules = {name: channel.schedule for name, channel in self.channels.items()}
        return named | {
            name: one.mean if isinstance(one, Matched) else one.rate(0, 1) for name, one in schedules.items()
        }

    def factor(self, name: str, layer: int | None, layers: int) -> float:
        """What a site's rate is multiplied by in one layer."""
        return self.channels[name].factor(layer, layers) if name in self.channels else 1.0

    def scaled(self, name: str) -> bool:
        """Whether a site's rate depends on the layer."""
        return name in self.channels and self.channels[name].depth != UNIFORM

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms that must be put into the model."""
        return tuple(name for name in self.channels if name in MECHANISMS)

    @property
    def zero(self) -> bool:
        """No random mask at all: the mask role then decides nothing."""
        return all(channel.zero() for channel in self.channels.values())

    @property
    def idle(self) -> bool:
        """Nothing at all that a plain run does not do."""
        return self.zero and not self.objectives and not self.settings and not self.structural

    @property
    def moves(self) -> bool:
        """Whether some rate changes while training goes on."""
        return any(not isinstance(channel.schedule, Constant) for channel in self.channels.values())

    @property
    def driven(self) -> bool:
        """Whether validation losses move a rate."""
        return any(channel.schedule.driven for channel in self.channels.values())

    @property
    def forwards(self) -> int:
        """Forward passes that one example costs in training."""
        return max([1, *(objective.forwards for objective in self.objectives.values())])

    @property
    def structural(self) -> tuple[str, ...]:
        """Mechanisms that change the model in eval mode too: a checkpoint alone is not the model."""
        return tuple(name for name in self.mechanisms if _structural(name))

    def loss(self, plain: Loss) -> Loss:
        """The training loss of this regime, from the plain sum of cross-entropies."""
        # Those that replace the loss come before those that add to it.
        for objective in sorted(self.objectives.values(), key=lambda one: one.forwards):
            plain = objective.wrap(plain)
        return plain

    def for_sites(self, sites: tuple[str, ...]) -> Regime:
        """The part of this regime that acts on a model with these sites (a language model has no head)."""
        kept = {name: channel for name, channel in self.channels.items() if name in sites or name in MECHANISMS}
        return replace(self, channels=kept)

    def unsupported(self, family: str) -> str:
        """Why this regime has no meaning for a model family, or an empty string."""
        for name in self.mechanisms:
            allowed = MECHANISMS[name].families
            if allowed is not None and family not in allowed:
                return f"{name} works on {', '.join(allowed)} models only"
        return ""

    @property
    def matched(self) -> bool:
        """Whether a rate is scaled to another arm's, over all planned steps."""
        return any(isinstance(channel.schedule, Matched) for channel in self.channels.values())

    def impossible(self, layers: int, total: int, validations: int) -> str:
        """Why this regime cannot be what it says, or an empty string.

        Args:
            layers: of the model.
            total: optimiser steps.
            validations: how many there are before the last step.
        """
        for name, channel in self.channels.items():
            if isinstance(channel.depth, tuple) and len(channel.depth) != layers:
                return f"{name}.depth: has {len(channel.depth)} factors, the model has {layers} layers"
            problem = channel.impossible(total, validations)
            if problem:
                return f"{name}: {problem}"
        return ""

    def describe(self) -> dict[str, Any]:
        """Canonical form for a cell's identity: equal rates give equal text, zero sites are left out.

        Overridden training settings stand in the identity's `training` part.
        """
        order = [*SITES, *sorted(MECHANISMS)]
        named = {
            name: self.channels[name].describe()
            for name in order
            if name in self.channels and (_structural(name) or not self.channels[name].zero())
        }
        return named | {name: one.model_dump(mode="json") for name, one in sorted(self.objectives.items())}


def _structural(name: str) -> bool:
    found = MECHANISMS.get(name)
    return found is not None and issubclass(found, Placed) and found.structural
