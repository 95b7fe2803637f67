"""The three kinds of cell, each with its identity: a scratch base, a training cell, a generation cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.data.task import Kind
from harness.identity import STAGE_VERSIONS, Identity, uid
from harness.randomness import Streams
from harness.regimes.regime import Regime
from harness.request import FILTERS, SAMPLER_VERSION, Setting
from harness.spec.grid import Decoding, Training
from harness.spec.models import Checkpoint, Model

# How every scratch base is trained; part of its identity through `training`.
PRETRAINING = Training(learning_rate=[1e-3], batch_size=32, warmup=0.1, clip=1.0, weight_decay=0.01, select="last")


def settings_identity(training: Training, *leave_out: str) -> dict[str, Any]:
    """The optimiser settings as an identity holds them, but for those that stand elsewhere in it.

    `steps_to_loss` is read from the stored history: a new target is no new cell. A field that came later than stored
    cells stands there only where it is used.
    """
    settings = training.model_dump(mode="json", exclude={"steps_to_loss", *leave_out})
    if not training.mc_passes or training.mc_examples == Training.model_fields["mc_examples"].default:
        del settings["mc_examples"]
    if settings["micro_batch_size"] == training.batch_size:
        settings["micro_batch_size"] = None
    for name in ("random_windows", "diagnostics", "mc_passes"):
        if not settings[name]:
            del settings[name]
    return settings


def task_label(task: str, train_size: int | None) -> str:
    """A task as tables name it: `sst2`, or `sst2@100` where only 100 examples are trained on."""
    return task if train_size is None else f"{task}@{train_size}"


@dataclass(frozen=True)
class Problem:
    """A task with a model: what all cells of one (task, model, size of the training set) share.

    Attributes:
        task, options, data: how to read the task again, in a worker.
        kind, fingerprint: of the task's data.
        tokenizer: digest of the tokenizer.
        vocabulary: number of token ids the model knows.
        seed: the study seed.
        device, precision: resolved, not `auto`.
        train_size: training rows in use, the first by content hash, or blocks that an epoch of a language task's
            stream reads, from its start; None is all. Tokenizer, scratch base and its pretraining are those of all
            training texts at every size: what is scarce are the labels.
    """

    task: str
    options: Mapping[str, Any]
    data: Path | None
    kind: Kind
    fingerprint: str
    metrics: tuple[str, ...]
    model: Model
    tokenizer: str
    vocabulary: int
    seed: int
    device: str
    precision: str
    max_length: int
    train_size: int | None = None

    @property
    def label(self) -> str:
        """The task as tables name it, so that every grouping keeps the sizes apart."""
        return task_label(self.task, self.train_size)

    @property
    def shared_identity(self) -> Identity:
        """The part of every identity that the problem decides."""
        return {
            "seed": self.seed,
            "task": {"name": self.task, "kind": self.kind, "data": self.fingerprint},
            "model": self.model.describe(),
            "tokenizer": self.tokenizer,
            "max_length": self.max_length,
            "device": self.device,
            "precision": self.precision,
        }

    @property
    def base(self) -> BaseCell | None:
        """The pretrained base of a scratch preset; None where weights are loaded or training starts from nothing."""
        shape = self.model.shape
        if shape is None or shape.pretrain_steps == 0:
            return None
        return BaseCell(replace(self, train_size=None), shape.pretrain_steps)


@dataclass(frozen=True)
class BaseCell:
    """A scratch model pretrained on the task's texts without dropout: masked for encoders, causal for GPT-2."""

    problem: Problem
    steps: int
    level: int = 0
    kind: str = field(default="base", init=False)

    @property
    def training(self) -> Training:
        """Its optimiser settings."""
        return PRETRAINING.model_copy(update={"steps": self.steps, "max_length": self.problem.max_length})

    @property
    def streams(self) -> Streams:
        """Its random streams: a study of their own."""
        return Streams(self.problem.seed).pretraining(self.level)

    @cached_property
    def identity(self) -> Identity:
        """Everything that can change its weights."""
        return {
            "kind": self.kind,
            "version": STAGE_VERSIONS["base"],
            **self.problem.shared_identity,
            "objective": "masked" if self.problem.model.encoder else "causal",
            "training": settings_identity(self.training),
            "pretrain": self.level,
        }

    @cached_property
    def uid(self) -> str:
        """Content address."""
        return uid(self.identity)


@dataclass(frozen=True)
class TrainingCell:
    """Task x model x regime x optimiser settings x levels of the training roles.

    `replicate` and `declared` (levels as the design declares them) name the cell in a grid's tables; the identity has
    the levels that matter: a role that decides nothing is at level 0 there, so that equal cells run once.
    """

    problem: Problem
    regime: Regime
    training: Training
    learning_rate: float
    replicate: int
    declared: Mapping[str, int]
    repeat: int = 0
    selection: bool = False
    kind: str = field(default="training", init=False)

    @cached_property
    def levels(self) -> dict[str, int]:
        """Levels of the roles that decide something in this cell, 0 for the others."""
        idle = {"corrupt"}
        if self.regime.zero:
            idle.add("mask")
        if self.training.sample == "all":
            idle.add("sample")
        if self.problem.kind != "classification" and (self.problem.base or self.problem.model.folder):
            idle.add("init")  # no new weights: a language model's head is its embeddings
        return {role: 0 if role in idle else level for role, level in self.declared.items()}

    @property
    def streams(self) -> Streams:
        """Its random streams."""
        return Streams(self.problem.seed, self.levels)

    @cached_property
    def identity(self) -> Identity:
        """Everything that can change its numbers."""
        base = self.problem.base
        size = self.problem.train_size
        training = settings_identity(self.training, "learning_rate", "precision", "max_length")
        if training["steps"] is None:
            training["epochs"] = self.training.length
        return {
            "kind": self.kind,
            "version": STAGE_VERSIONS["training"],
            **self.problem.shared_identity,
            **({} if size is None else {"train_size": size}),
            "base": base.uid if base else None,
            "regime": self.regime.describe(),
            "training": {**training, "learning_rate": self.learning_rate},
            "levels": self.levels,
            "repeat": self.repeat,
        }

    @cached_property
    def uid(self) -> str:
        """Content address."""
        return uid(self.identity)

    @property
    def factors(self) -> dict[str, Any]:
        """The columns that name this cell in tables."""
        return {
            "task": self.problem.label,
            "model": self.problem.model.name,
            "regime": self.regime.name,
            "learning_rate": self.learning_rate,
            "training_replicate": self.replicate,
            **{role: self.declared[role] for role in ("init", "sample", "order", "mask")},
            "repeat": self.repeat,
            "forwards": self.regime.forwards,
        }


@dataclass(frozen=True)
class Judges:
    """Other models that texts are compared by, where the grid names them."""

    evaluator: Checkpoint | None = None
    mauve: Checkpoint | None = None

    @property
    def identity(self) -> Identity:
        """Digests of those that there are."""
        named = {"evaluator": self.evaluator, "mauve": self.mauve}
        return {name: {"checkpoint": judge.digest} for name, judge in named.items() if judge is not None}


@dataclass(frozen=True)
class GenerationCell:
    """One training cell's checkpoint x a decoding setting x an inference replicate.

    Of the setting HUMAN it holds what people wrote, scored by the checkpoint; the level then counts the texts after
    one prompt. `prompts` is the digest of the prompts.
    """

    parent: TrainingCell
    setting: Setting
    level: int
    decoding: Decoding
    prompts: str
    judges: Judges = Judges()
    kind: str = field(default="generation", init=False)

    @property
    def configuration(self) -> Identity:
        """The complete generation configuration; nothing is taken from a model's `generation_config`."""
        if self.setting.human:
            return {"source": "human", "max_new_tokens": self.decoding.max_new_tokens}
        return {
            "sampler": SAMPLER_VERSION,
            "filters": FILTERS,
            **self.setting.factors,
            "max_new_tokens": self.decoding.max_new_tokens,
        }

    @cached_property
    def identity(self) -> Identity:
        """Everything that can change its texts. The batch rows of generation are not in it: they cannot."""
        return {
            "kind": self.kind,
            "version": STAGE_VERSIONS["generation"],
            "training": self.parent.uid,
            "configuration": self.configuration,
            "decode": self.level,
            "prompts": {"split": "test", "count": self.decoding.prompts, "digest": self.prompts},
            **self.judges.identity,
        }

    @cached_property
    def uid(self) -> str:
        """Content address."""
        return uid(self.identity)

    @property
    def factors(self) -> dict[str, Any]:
        """The columns that name this cell in tables."""
        parent = self.parent.factors
        return {
            "training_uid": self.parent.uid,
            **{key: parent[key] for key in ("task", "model", "regime", "training_replicate")},
            **self.setting.factors,
            "inference_replicate": self.level,
        }


Cell = BaseCell | TrainingCell | GenerationCell
