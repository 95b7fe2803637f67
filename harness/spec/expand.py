"""From a grid to its cells. Everything that can be refused before training is refused here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.assets import task_data, tokenizer_for
from harness.data.prompts import Asked
from harness.data.task import TaskData
from harness.data.tokenizer import digest, special_ids
from harness.errors import UserError
from harness.identity import device_type
from harness.randomness import TRAINING_ROLES
from harness.regimes.regime import SITES, Regime
from harness.spec.cells import BaseCell, Cell, GenerationCell, Judges, Problem, TrainingCell
from harness.spec.checks import (
    check_labels,
    check_lengths,
    check_prompts,
    check_published,
    check_regimes,
    check_resolve,
    check_select,
    check_train_sizes,
    check_windows,
)
from harness.spec.designs import replicate_levels
from harness.spec.generation import generation_cells, judges_of
from harness.spec.grid import Grid, Training, entry_name, entry_options
from harness.spec.models import Model, resolve_model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from harness.store import Record, Store

# Levels of the replicates that choose a learning rate: far from the reported ones, which count from 0.
SELECTION_LEVEL = 1_000_000


@dataclass(frozen=True)
class Skipped:
    """A combination that has no cell, and why; an arm of which every learning rate diverged has that status."""

    task: str
    model: str
    regime: str
    reason: str
    status: str = "skipped"


@dataclass
class Expansion:
    """All cells of a grid, as far as they are known.

    Attributes:
        bases, selection, training, generation: cells in the order of the grid; equal bases stand once.
        skipped: combinations without a cell.
        prompts: of every problem that generates, by (task label, model).
        judges: other models that texts are compared by.
        pending: arms whose learning rate is not selected yet, so that their cells cannot be named.
        notes: what a reader must know, for example about a task's splits.
    """

    grid: Grid
    problems: list[Problem] = field(default_factory=list)
    bases: list[BaseCell] = field(default_factory=list)
    selection: list[TrainingCell] = field(default_factory=list)
    training: list[TrainingCell] = field(default_factory=list)
    generation: list[GenerationCell] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    pending: list[tuple[Problem, Regime]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    prompts: dict[tuple[str, str], list[Asked]] = field(default_factory=dict)
    judges: Judges = field(default_factory=Judges)

    def asked(self, problem: Problem) -> list[Asked]:
        """The prompts of a problem that generates."""
        return self.prompts[problem.label, problem.model.name]

    @property
    def cells(self) -> list[Cell]:
        """Every cell, in the order in which they can be computed."""
        return [*self.bases, *self.selection, *self.training, *self.generation]

    @property
    def unique(self) -> list[Cell]:
        """Every cell once: arms and replicates may be one cell by construction."""
        found: dict[str, Cell] = {}
        for cell in self.cells:
            found.setdefault(cell.uid, cell)
        return list(found.values())


def expand(grid: Grid, store: Store, data: Path | None) -> Expansion:
    """Expands a grid; reads its data and, for selected learning rates, the store.

    Raises:
        UserError: whatever is wrong with the grid, its tasks, its models or its data, in one line.
    """
    expansion = Expansion(grid)
    where = f"grid {grid.name}"
    models = [resolve_model(entry_name(entry), entry_options(entry), where) for entry in grid.models]
    check_labels([model.name for model in models], where)
    expansion.judges = judges_of(grid.decoding, where)
    if grid.decoding is not None:
        from harness.inference.own_metrics import load_own_metrics

        load_own_metrics()  # a broken file is told before anything is computed
    if grid.resolve:
        check_resolve(grid, where)
    for entry in grid.tasks:
        task, options = entry_name(entry), entry_options(entry)
        loaded, fingerprint = task_data(task, options, data)
        if loaded.note:
            expansion.notes.append(f"{task}: {loaded.note}")
        if any(grid.train_sizes):
            expansion.notes.append(f"{task}: {_size_note(loaded)}")
        training = grid.training_for(task)
        check_select(training, loaded, f"{where}: task {task}")
        check_windows(training, loaded, f"{where}: task {task}")
        check_published(grid, task, loaded, where)
        for model in models:
            if model.encoder and loaded.kind != "classification":
                reason = f"an encoder ({model.family}) cannot generate: a language task needs a GPT-2 model"
                expansion.skipped.append(Skipped(task, model.name, "", reason))
                continue
            tokenizer = tokenizer_for(model, loaded, fingerprint, store.root / "cache" / "tokenizers")
            problem = _problem(grid, task, options, data, loaded, fingerprint, model, training, tokenizer)
            asked: list[Asked] = []
            if grid.decoding and loaded.kind != "classification":
                asked = check_prompts(grid.decoding, loaded, tokenizer, model, f"{where}: {task} x {model.name}")
            for size in grid.train_sizes:
                sized = replace(problem, train_size=size)
                expansion.prompts[sized.label, model.name] = asked
                _add_problem(expansion, sized, training, store)
    if not expansion.training and not expansion.pending and not expansion.selection:
        reasons = {skip.reason for skip in expansion.skipped}
        raise UserError(f"{where}: no cells: {'; '.join(sorted(reasons)) or 'every axis is empty'}")
    return expansion


def _size_note(data: TaskData) -> str:
    """What a reader must know of the sizes of a training set."""
    if data.kind == "language":
        return "@n: an epoch reads n blocks of max_length tokens from the start of the stream; the tokenizer saw it all"
    return (
        "@n: trained on the first n rows by content hash, the same for every replicate and regime; tokenizer and "
        "scratch base are those of all training texts"
    )


def _problem(
    grid: Grid,
    task: str,
    options: dict[str, Any],
    data: Path | None,
    loaded: TaskData,
    fingerprint: str,
    model: Model,
    training: Training,
    tokenizer: Tokenizer,
) -> Problem:
    where = f"grid {grid.name}: {task} x {model.name}"
    # A language model's block of n tokens predicts n: it reads n positions and is asked for the token after each.
    if training.max_length > model.positions:
        raise UserError(f"{where}: training.max_length {training.max_length} exceeds the {model.positions} positions")
    if training.sample != "all" and loaded.kind == "language":
        raise UserError(f"{where}: training.sample: a stream of text has no examples to draw (allowed: all)")
    _check_padding(model, tokenizer, where)
    check_lengths(training, loaded, tokenizer, where)
    check_train_sizes(grid.train_sizes, training, loaded, tokenizer, model, where)
    check_regimes(grid, training, loaded, tokenizer, model, where)
    device = device_type(grid.device)
    precision = (
        ("bf16-mixed" if device == "cuda" else "32-true") if training.precision == "auto" else training.precision
    )
    return Problem(
        task=task,
        options=options,
        data=data,
        kind=loaded.kind,
        fingerprint=fingerprint,
        metrics=loaded.metrics,
        model=model,
        tokenizer=digest(tokenizer),
        vocabulary=_vocabulary(model, tokenizer.get_vocab_size()),
        seed=grid.seed,
        device=device,
        precision=precision,
        max_length=training.max_length,
    )


def _check_padding(model: Model, tokenizer: Tokenizer, where: str) -> None:
    """Refuses a RoBERTa tokenizer that pads with another id than the model counts its positions from."""
    if model.pad is None:
        return
    pad = special_ids(tokenizer).pad
    if pad != model.pad:
        raise UserError(f"{where}: the tokenizer pads with id {pad}, the model counts positions from id {model.pad}")


def _add_problem(expansion: Expansion, problem: Problem, training: Training, store: Store) -> None:
    grid = expansion.grid
    expansion.problems.append(problem)
    base = problem.base
    if base and base.uid not in {known.uid for known in expansion.bases}:
        expansion.bases.append(base)
    for declared in grid.parsed_regimes.values():
        regime = _acting(declared, problem)
        reason = regime.unsupported(problem.model.family)
        if regime.idle and not declared.idle:
            reason = "this regime only names sites that a language model does not have"
        if reason:
            expansion.skipped.append(Skipped(problem.label, problem.model.name, declared.name, reason))
            continue
        own = training.model_copy(update=dict(regime.settings))
        _note_matched(expansion, regime, own)
        rate = _learning_rate(expansion, problem, regime, own, store)
        if rate is not None:
            _add_arm(expansion, problem, regime, own, rate)


def _note_matched(expansion: Expansion, regime: Regime, training: Training) -> None:
    note = f"{regime.name}: its mean rate is matched over all steps; the reported weights may be of an earlier one"
    if regime.matched and training.select != "last" and note not in expansion.notes:
        expansion.notes.append(note)


def _acting(declared: Regime, problem: Problem) -> Regime:
    """The part of a regime that acts: a language model has no classifier, so `all` does not reach its head."""
    return declared.for_sites(tuple(SITES) if problem.kind == "classification" else tuple(SITES)[:-1])


def _learning_rate(
    expansion: Expansion, problem: Problem, regime: Regime, training: Training, store: Store
) -> float | None:
    """The arm's learning rate; None while its selection runs are missing, or when all diverged."""
    rates = training.learning_rates
    if len(rates) == 1:
        return rates[0]
    levels = range(SELECTION_LEVEL, SELECTION_LEVEL + expansion.grid.replicates.selection)
    joint: dict[int, dict[str, int]] = {level: dict.fromkeys(map(str, TRAINING_ROLES), level) for level in levels}
    runs = {
        rate: [_cell(problem, regime, training, rate, level, joint[level], selection=True) for level in levels]
        for rate in rates
    }
    expansion.selection += [cell for cells in runs.values() for cell in cells]
    scores = {rate: _score([store.record(cell.uid) for cell in cells]) for rate, cells in runs.items()}
    known = {rate: score for rate, score in scores.items() if score is not None}
    if len(known) < len(scores):
        expansion.pending.append((problem, regime))
        return None
    best = max(known, key=lambda rate: known[rate])
    if known[best] == -math.inf:
        reason = "every learning rate of the list diverged"
        expansion.skipped.append(Skipped(problem.label, problem.model.name, regime.name, reason, "diverged"))
        return None
    return best


def _score(records: Iterable[Record | None]) -> float | None:
    """Mean validation score, greater is better; None while a run is missing or failed; a diverged run loses."""
    scores = []
    for record in records:
        if record is None or record.status == "error":
            return None
        scores.append(record.summary["selection_score"] if record.status == "done" else -math.inf)
    return sum(scores) / len(scores)


def _add_arm(expansion: Expansion, problem: Problem, regime: Regime, training: Training, rate: float) -> None:
    replicates = expansion.grid.replicates
    levels = replicate_levels(replicates.training, training, f"grid {expansion.grid.name}: task {problem.task}")
    cells = [_cell(problem, regime, training, rate, index, declared) for index, declared in enumerate(levels)]
    if regime.name == _noise_floor_arm(expansion.grid, problem):
        first = cells[0]
        cells += [replace(first, repeat=repeat) for repeat in range(1, replicates.repeats + 1)]
    expansion.training += cells
    if expansion.grid.decoding is None or problem.kind == "classification":
        return
    asked = expansion.asked(problem)
    for cell in cells:
        expansion.generation += generation_cells(
            cell, expansion.grid.decoding, replicates.inference.count, asked, expansion.judges
        )


def _noise_floor_arm(grid: Grid, problem: Problem) -> str:
    """The arm whose first replicate is repeated: the first with dropout, which draws from every stream."""
    pairs = [(declared, _acting(declared, problem)) for declared in grid.parsed_regimes.values()]
    family = problem.model.family
    arms = [one for declared, one in pairs if (declared.idle or not one.idle) and not one.unsupported(family)]
    return next((regime.name for regime in arms if not regime.zero), arms[0].name if arms else "")


def _cell(
    problem: Problem,
    regime: Regime,
    training: Training,
    rate: float,
    replicate: int,
    declared: dict[str, int],
    *,
    selection: bool = False,
) -> TrainingCell:
    return TrainingCell(problem, regime, training, rate, replicate, declared, selection=selection)


def _vocabulary(model: Model, tokens: int) -> int:
    """Width of the model's logits."""
    if model.folder is None:
        return tokens
    config = json.loads((model.folder / "config.json").read_text(encoding="utf-8"))
    return int(config.get("vocab_size", tokens))
