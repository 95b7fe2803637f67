"""The generation cells of a checkpoint, and the other models that texts are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from harness.data.families import ENCODERS
from harness.data.prompts import Asked, digest
from harness.errors import UserError
from harness.request import HUMAN, Setting
from harness.spec.cells import GenerationCell, Judges, TrainingCell
from harness.spec.grid import Decoding
from harness.spec.models import model_type, resolve_checkpoint


def generation_cells(
    cell: TrainingCell, decoding: Decoding, replicates: int, asked: Sequence[Asked], judges: Judges
) -> list[GenerationCell]:
    """Generation cells of one checkpoint: equal settings once, greedy at decode level 0 only, then human texts."""
    settings: dict[Setting, int] = {}
    prompts = digest(asked)
    for setting in decoding.settings:
        canonical = setting.canonical(cell.problem.vocabulary)
        settings[canonical] = 1 if canonical.greedy else replicates
    if decoding.human and cell.repeat == 0:  # a repeat measures the noise of sampled texts
        settings[HUMAN] = min(replicates, max(len(one.humans) for one in asked))
    return [
        GenerationCell(cell, setting, level, decoding, prompts, judges)
        for setting, levels in settings.items()
        for level in range(levels)
    ]


def judges_of(decoding: Decoding | None, where: str) -> Judges:
    """The other models that a grid wants texts to be compared by.

    Raises:
        UserError: one is not to be had, or what it needs is not installed.
    """
    if decoding is None:
        return Judges()
    if decoding.mauve and not decoding.human:
        raise UserError(f"{where}: decoding.mauve: compares with human texts (needs human: true)")
    if decoding.mauve and not (find_spec("mauve") and find_spec("faiss")):
        raise UserError(f"{where}: decoding.mauve: needs packages that are not installed: pip install 'twodice[mauve]'")
    names = {"evaluator": decoding.evaluator, "mauve": decoding.mauve}
    found = {key: resolve_checkpoint(name, f"{where}: decoding.{key}") for key, name in names.items() if name}
    if "evaluator" in found and model_type(found["evaluator"].folder) in ENCODERS:
        raise UserError(f"{where}: decoding.evaluator: {decoding.evaluator}: an encoder predicts no next token")
    return Judges(**found)
