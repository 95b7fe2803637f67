"""The forms of an entry of `published`: a value or an order, of a training metric or of a metric of generated texts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.request import HUMAN, Setting
from harness.spec.grid import Count, Name, NonNegative, Positive, PositiveShare, ShareBelow1, Strict

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True)]
ENDLESS = 2**63  # no vocabulary is as large: a k stays what it is


def _top_k(value: Any) -> Any:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if number or value in ("all", HUMAN.label):
        return value
    raise ValueError("must be a whole number from 1, 'all' or 'human'")


TopK = Annotated[Any, BeforeValidator(_top_k)]


class Published(Strict):
    """What every entry says: where the number stands, what it measures, and how the source measured it."""

    task: str = Field(default="", description="as tables name it; may be left out where the grid has one")
    model: str = Field(default="", description="may be left out where the grid has one")
    metric: Text
    source: Text = Field(description="authors, year, arXiv id or name of the repository")
    estimator: Text = Field(description="how the source measured it")
    same_estimator: bool = Field(strict=True, description="whether the metric named here is measured in the same way")
    note: str = ""

    @property
    def regimes(self) -> tuple[str, ...]:
        """The regimes that it names."""
        raise NotImplementedError


class Value(Published):
    """A published value of one arm, in the metric's own unit."""

    regime: Name
    value: Number
    rounding: NonNegative = Field(default=0.0, description="half a unit of its last printed digit, for example 0.005")
    spread: NonNegative | None = Field(default=None, description="standard deviation over the published runs")
    n: Count = Field(default=1, description="published runs")
    statistic: Literal["mean", "best"] = Field(default="mean", description="mean, or best of the n published runs")

    @model_validator(mode="after")
    def _spread(self) -> Value:
        if self.spread is not None and self.n < 2:
            raise ValueError("a spread over runs needs n, their number, from 2")
        return self

    @property
    def regimes(self) -> tuple[str, ...]:
        """The regime of its arm."""
        return (self.regime,)


class Ordering(Published):
    """A published order of arms: the metric increases from the first arm to the last."""

    margin: NonNegative = Field(default=0.0, description="by at least so much from arm to arm, in the metric's unit")


class PublishedValue(Value):
    """A published value of a training metric."""

    split: Text


class PublishedOrdering(Ordering):
    """A published order of regimes by a training metric."""

    split: Text
    ordering: Annotated[list[Name], Field(min_length=2)]

    @model_validator(mode="after")
    def _once(self) -> PublishedOrdering:
        if len(set(self.ordering)) < len(self.ordering):
            raise ValueError("ordering names an arm twice")
        return self

    @property
    def regimes(self) -> tuple[str, ...]:
        """The arms, from the lowest."""
        return tuple(self.ordering)


class NamedSetting(Strict):
    """A decoding setting as an entry names it: `{top_k: 40}`, `{top_k: all, temperature: 0.9}`, `{top_k: human}`."""

    top_k: TopK
    temperature: Positive = 1.0
    top_p: PositiveShare = 1.0
    min_p: ShareBelow1 = 0.0

    @property
    def setting(self) -> Setting:
        """Under its one name: greedy and human have neither temperature nor p."""
        if self.top_k == HUMAN.label:
            return HUMAN
        top_k = None if self.top_k == "all" else int(self.top_k)
        return Setting(top_k, self.temperature, self.top_p, self.min_p).canonical(ENDLESS)


class PublishedTextValue(Value, NamedSetting):
    """A published value of a metric of generated texts, at one decoding setting."""

    unit: Literal["text", "set", "prompt"]

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The setting of its arm."""
        return (self.setting,)


class PublishedTextOrdering(Ordering):
    """A published order of decoding settings by a metric of generated texts, within one regime."""

    unit: Literal["text", "set", "prompt"]
    regime: Name
    ordering: Annotated[list[NamedSetting], Field(min_length=2)]

    @model_validator(mode="after")
    def _once(self) -> PublishedTextOrdering:
        if len(set(self.settings)) < len(self.settings):
            raise ValueError("ordering names a setting twice")
        return self

    @property
    def regimes(self) -> tuple[str, ...]:
        """The regime of all its arms."""
        return (self.regime,)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings, from the lowest."""
        return tuple(named.setting for named in self.ordering)


OnTraining = PublishedValue | PublishedOrdering
OnTexts = PublishedTextValue | PublishedTextOrdering
PublishedNumber = OnTraining | OnTexts
