"""The order of the page: what stands where, and one sentence on how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# id, heading, how to read it, tables, figures
_SECTIONS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "randomness",
        "Which die made the number",
        "The training die: how far the expected value of a run moves when training is repeated. The inference die: how"
        " far a value moves when the same model speaks again. Shares are told per text and per benchmark score, the"
        " mean over all prompts of one replicate.",
        ("randomness",),
        ("variance_shares",),
    ),
    (
        "generalization",
        "Generalisation",
        "Every split measured with dropout off, by regime; the gap is the value on a split minus that on train.",
        ("generalization",),
        ("generalization_gap", "learning_curves", "dropout_rates"),
    ),
    (
        "contrasts",
        "Contrasts",
        "Each regime against the reference regime, and each decoding setting against the reference setting. A"
        " difference whose interval holds 0 is no finding.",
        ("contrasts", "comparisons"),
        ("contrast_forest",),
    ),
    (
        "effects",
        "Effects side by side",
        "How much regimes and decoding settings move a metric beside what chance moves it. Sizes of effects depend on"
        " the range of the grid.",
        ("effects",),
        ("effect_map",),
    ),
    (
        "seeds",
        "How many seeds",
        "The smallest difference that this many replicates can resolve, and how many a wanted one needs.",
        ("seeds",),
        (),
    ),
    (
        "generation",
        "Generated texts by k",
        "Means of the metrics of generated texts by regime and decoding setting.",
        ("generation",),
        ("diversity_by_k",),
    ),
    ("samples", "Sample texts", "", (), ()),
    (
        "roles",
        "Roles of the training die",
        "Initial weights, sampled examples, their order and the dropout masks, each by itself.",
        ("roles",),
        (),
    ),
    (
        "published",
        "Published numbers",
        "Numbers of papers beside those of this grid, where the grid names them.",
        ("published",),
        ("published",),
    ),
    (
        "noise_floor",
        "Noise floor",
        "What is left when not even a seed differs: smaller differences mean nothing.",
        ("noise_floor",),
        (),
    ),
    ("cells", "Cells", "Every run of the grid; those that failed or diverged stand first.", ("cells",), ()),
)
_OTHER = "other"


@dataclass(frozen=True)
class Section:
    """A section of the page: its tables and figures that there are."""

    id: str
    heading: str
    intro: str
    tables: tuple[Any, ...]
    figures: tuple[Any, ...]


def sections_of(views: Mapping[str, Any], figures: Mapping[str, Any]) -> list[Section]:
    """The sections in order; tables and figures that no section names stand in a last one."""
    found = [
        Section(key, heading, intro, _of(views, tables), _of(figures, drawn))
        for key, heading, intro, tables, drawn in _SECTIONS
    ]
    named = {name for *_, tables, _ in _SECTIONS for name in tables} | {"claims", "regimes"}
    drawn_names = {name for *_, drawn in _SECTIONS for name in drawn}
    found.append(_rest(views, figures, named, drawn_names))
    return [section for section in found if section.tables or section.figures or section.id == "samples"]


def _rest(views: Mapping[str, Any], figures: Mapping[str, Any], tables: set[str], drawn: set[str]) -> Section:
    more = _of(views, [name for name in views if name not in tables])
    pictures = _of(figures, [name for name in figures if name not in drawn])
    return Section(_OTHER, "Other tables and figures", "", more, pictures)


def _of(found: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(found[name] for name in names if name in found)
