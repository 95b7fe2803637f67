"""The grid file: a strict schema. Unknown keys are refused with the nearest valid name."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, field_validator, model_validator

from harness.randomness import TRAINING_ROLES
from harness.regimes.parse import SCIENTIFIC, parse_regimes
from harness.regimes.regime import Regime
from harness.request import Setting

# The roles that a replicate design can vary on their own; `corrupt` goes with `mask`.
VARIED_ROLES = tuple(role for role in TRAINING_ROLES if role != "corrupt")


class Strict(BaseModel):
    """Base of every part of a grid: unknown keys and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _no_bool(value: Any) -> Any:
    if isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        return float(value)
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _sample(value: Any) -> Any:
    number = isinstance(value, float) and 0.0 < value < 1.0
    if value in ("all", "bootstrap") or number:
        return value
    raise ValueError("must be 'all', 'bootstrap' or a fraction between 0 and 1")


Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
Whole = Annotated[int, BeforeValidator(_no_bool), Field(ge=0)]
Fraction = Annotated[float, BeforeValidator(_no_bool), Field(ge=0.0, le=1.0)]
Positive = Annotated[float, BeforeValidator(_no_bool), Field(gt=0.0)]
NonNegative = Annotated[float, BeforeValidator(_no_bool), Field(ge=0.0)]
Temperature = Annotated[float, BeforeValidator(_no_bool), Field(ge=0.001, le=1000.0)]
PositiveShare = Annotated[float, BeforeValidator(_no_bool), Field(gt=0.0, le=1.0)]
ShareBelow1 = Annotated[float, BeforeValidator(_no_bool), Field(ge=0.0, lt=1.0)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}$"
RESERVED = ("cells", "texts", "work", "cache", "mlartifacts", "mlflow.db")  # below results/
Name = Annotated[str, Field(pattern=NAME)]


class Training(Strict):
    """How a training cell is optimised. All of it is part of the cell's identity."""

    epochs: Positive | None = Field(
        default=None, description="passes over the training examples (3 where steps are not given)"
    )
    steps: Count | None = Field(default=None, description="optimiser steps (instead of epochs)")
    batch_size: Count = Field(default=32, description="effective batch: examples per optimiser step")
    micro_batch_size: Count | None = Field(default=None, description="examples per forward (accumulation); default all")
    learning_rate: Annotated[list[Positive], BeforeValidator(_as_list), Field(min_length=1)] = Field(
        default=[5e-5], description="peak rate; of a list each regime's is selected on the validation split"
    )
    decay: Literal["linear", "cosine", "none"] = Field(default="linear", description="after the warm-up")
    final_learning_rate: NonNegative = Field(default=0.0, description="where the decay ends, as a fraction of the peak")
    warmup: NonNegative = Field(default=0.1, description="fraction of the steps (below 1) or number of steps")
    weight_decay: NonNegative = Field(default=0.01, description="on matrices; never on biases and norms")
    betas: tuple[Fraction, Fraction] = Field(default=(0.9, 0.999), description="AdamW's moment decays")
    eps: Positive = 1e-8
    clip: NonNegative = Field(default=1.0, description="global gradient norm; 0 turns clipping off")
    bucketing: bool = Field(default=True, description="batches of similar length (off: plain random batches)")
    max_length: Count = Field(default=128, description="tokens per example; the block length of a language model")
    evaluate_every: Positive | None = Field(
        default=None, description="validation: fraction of the steps (below 1) or steps; default once an epoch"
    )
    select: str = Field(default="validation.loss", description="which checkpoint is kept: validation.METRIC or last")
    early_stopping: Count | None = Field(
        default=None, description="stop after so many validations without a better one"
    )
    sample: Annotated[Any, BeforeValidator(_sample)] = Field(
        default="all", description="what the `sample` role draws: nothing, a bootstrap, or a fraction of the examples"
    )
    steps_to_loss: Annotated[list[Positive], BeforeValidator(_as_list)] = Field(
        default=[], description="report at which evaluation the validation loss first reaches these values"
    )
    random_windows: Whole = Field(
        default=0, description="language tasks: also the validation loss of so many random windows at each evaluation"
    )
    evaluate_train: Count = Field(default=4096, description="at most so many training examples in the final evaluation")
    diagnostics: bool = Field(default=False, description="attention entropy and head diversity on validation examples")
    mc_passes: Whole = Field(
        default=0, description="classification: forwards with dropout kept on at test (MC dropout), per example"
    )
    mc_examples: Count = Field(default=200, description="at most so many examples of each test split for MC dropout")
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        default="auto", description="auto: 32-true on CPU, bf16-mixed on GPU"
    )
    attention: Literal["sdpa", "eager"] = "sdpa"

    @model_validator(mode="after")
    def _length(self) -> Training:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError("micro_batch_size must not exceed batch_size")
        if self.evaluate_every is not None and self.evaluate_every < 0.001:
            raise ValueError("evaluate_every must be at least 0.001 of the steps")
        if not (self.select == "last" or self.select.startswith("validation.")):
            raise ValueError("select must be 'last' or 'validation.METRIC' (the other splits must not decide)")
        if self.early_stopping is not None and self.select == "last":
            raise ValueError("early_stopping needs a metric to watch: select 'validation.METRIC'")
        if self.select == "last" and self.evaluate_every is None:
            for key in ("steps_to_loss", "random_windows"):
                if getattr(self, key):
                    raise ValueError(f"{key} needs evaluations: give evaluate_every, or select 'validation.METRIC'")
        return self

    @property
    def length(self) -> float:
        """Epochs, where steps are not given."""
        return 3.0 if self.epochs is None else self.epochs

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The candidates, in the order of the file, each once."""
        return tuple(dict.fromkeys(self.learning_rate))


def _roles(value: Any) -> Any:
    """Role names, or levels by role name; nothing else."""
    names = list(value) if isinstance(value, list | tuple | dict) else [None]
    if not names or any(name not in VARIED_ROLES for name in names) or len(set(names)) < len(names):
        raise ValueError(f"must be a list of roles or levels by role, each role once, of {', '.join(VARIED_ROLES)}")
    counts = list(value.values()) if isinstance(value, dict) else []
    if any(isinstance(count, bool) or not isinstance(count, int) or count < 2 for count in counts):
        raise ValueError("a role that varies needs a whole number of levels, at least 2")
    return dict(value) if isinstance(value, dict) else tuple(value)


class TrainingReplicates(Strict):
    """Training-time replicates: which levels the training roles take together (see harness/spec/designs.py)."""

    count: Count = Field(default=3, description="replicates of a joint design; levels of each listed role otherwise")
    design: Literal["joint", "isolated", "crossed"] = Field(
        default="joint", description="all roles vary together, one at a time (others at level 0), or fully crossed"
    )
    roles: Annotated[Any, BeforeValidator(_roles)] = Field(
        default=None, description="isolated: names (default all that can vary); crossed: names, or levels by name"
    )

    @model_validator(mode="after")
    def _design(self) -> TrainingReplicates:
        if self.design == "joint" and self.roles is not None:
            raise ValueError("design joint varies every role together: leave roles out")
        if self.design == "isolated" and isinstance(self.roles, dict):
            raise ValueError("design isolated gives every role `count` levels: roles must be a list of names")
        if self.design == "crossed" and (self.roles is None or len(self.roles) < 2):
            raise ValueError("design crossed needs at least two roles, for example {init: 4, order: 4}")
        if isinstance(self.roles, dict) and "count" in self.model_fields_set:
            raise ValueError("give count or levels by role, not both")
        if self.design != "joint" and self.count < 2:
            raise ValueError(f"design {self.design} needs a count of at least 2 levels")
        return self


class InferenceReplicates(Strict):
    """Levels of the decode role."""

    count: Count = 3


class Replicates(Strict):
    """How often each die is rolled; `selection` replicates choose the learning rate and are never reported."""

    training: TrainingReplicates = TrainingReplicates()
    inference: InferenceReplicates = InferenceReplicates()
    selection: Count = 1
    repeats: Whole = Field(
        default=1, description="noise floor: identical repeats of the first replicate of one arm per task and model"
    )


def _number_or_all(value: Any) -> Any:
    if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("must be a whole number from 1 or 'all'")


class SettingAxes(Strict):
    """Axes of decoding settings; all their combinations are settings."""

    top_k: Annotated[
        list[Annotated[Any, BeforeValidator(_number_or_all)]], BeforeValidator(_as_list), Field(min_length=1)
    ] = Field(default=["all"], description="so many best tokens compete; 1 is greedy")
    temperature: Annotated[list[Temperature], BeforeValidator(_as_list), Field(min_length=1)] = [1.0]
    top_p: Annotated[list[PositiveShare], BeforeValidator(_as_list), Field(min_length=1)] = Field(
        default=[1.0], description="of those, the fewest with this share of the mass (nucleus); 1 is off"
    )
    min_p: Annotated[list[ShareBelow1], BeforeValidator(_as_list), Field(min_length=1)] = Field(
        default=[0.0], description="of those, the ones with this share of the best one's probability; 0 is off"
    )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every declared setting, in the order of the file."""
        return tuple(
            Setting(None if k == "all" else int(k), float(temperature), float(top_p), float(min_p))
            for k in self.top_k
            for temperature in self.temperature
            for top_p in self.top_p
            for min_p in self.min_p
        )


class Decoding(SettingAxes):
    """The grid of decoding settings, for tasks that generate."""

    also: list[SettingAxes] = Field(
        default=[], description="further settings beside the product above, for example [{top_p: 0.95}, {min_p: 0.05}]"
    )
    max_new_tokens: Count = 32
    prompts: Count = Field(default=20, description="prompts of the test split")
    prompt_tokens: Count = Field(default=16, description="length of a language model's prompts")
    human: StrictBool = Field(default=True, description="also score what people wrote after the prompts, as a row")
    evaluator: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="a causal language model (hub id or folder) that scores every text"
    )
    mauve: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="a model (hub id or folder) whose features MAUVE compares texts by"
    )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """Every declared setting, in the order of the file."""
        return super().settings + tuple(setting for axes in self.also for setting in axes.settings)


class ModelOptions(Strict):
    """What a grid may say about one model beside its name."""

    tokenizer: Literal["own", "bpe", "char"] | None = Field(
        default=None, description="default: own, or bpe for scratch"
    )
    vocabulary: Annotated[int, Field(ge=8)] = Field(default=1000, description="size of a trained BPE vocabulary")
    layers: Count | None = None
    width: Count | None = None
    heads: Count | None = None
    positions: Count | None = None
    pretrain_steps: Whole | None = Field(default=None, description="scratch presets; 0: train from random weights")
    trust_remote_code: Literal[False] = False


def _entry(value: Any) -> Any:
    options = next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(value, str) or (
        isinstance(value, dict) and len(value) == 1 and (options is None or isinstance(options, dict))
    ):
        return value
    raise ValueError("must be a name or one `name: {options}`")


class Grid(Strict):
    """A grid file: the product of tasks, models, regimes, replicates and decoding settings."""

    name: Name
    seed: Whole = Field(description="the study seed")
    description: str = ""
    tasks: Annotated[list[Annotated[Any, BeforeValidator(_entry)]], Field(min_length=1)]
    models: Annotated[list[Annotated[Any, BeforeValidator(_entry)]], Field(min_length=1)]
    regimes: Annotated[dict[Name, Any], Field(min_length=1)]
    reference: str | None = Field(
        default=None, description="the regime that others are compared with; default the first"
    )
    train_size: Annotated[
        list[Annotated[Any, BeforeValidator(_number_or_all)]], BeforeValidator(_as_list), Field(min_length=1)
    ] = Field(default=["all"], description="training examples in use (language tasks: blocks of max_length), nested")
    training: Training = Training()
    by_task: dict[str, dict[str, Any]] = Field(default={}, description="overrides of `training`, by task")
    replicates: Replicates = Replicates()
    decoding: Decoding | None = None
    keep: Literal["none", "best", "all"] = Field(default="best", description="which checkpoints stay on disk")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    published: list[Any] = Field(default=[], description="published numbers; see harness.spec.published")
    resolve: dict[str, Positive] = Field(
        default={}, description="metric: smallest difference between regimes that the study wants to find"
    )

    @field_validator("name")
    @classmethod
    def _reserved(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"'{value}' is a name that twodice uses itself")
        return value

    @cached_property
    def parsed_regimes(self) -> dict[str, Regime]:
        """Regimes by name, in the order of the file."""
        return parse_regimes(self.regimes)

    @property
    def train_sizes(self) -> tuple[int | None, ...]:
        """The sizes of the training set, in the order of the file; None is all of it."""
        return tuple(None if size == "all" else int(size) for size in self.train_size)

    @property
    def reference_regime(self) -> str:
        """The regime that others are compared with."""
        return self.reference or next(iter(self.regimes))

    def training_for(self, task: str) -> Training:
        """The training settings of one task: `training` with the task's overrides.

        Giving steps in an override replaces epochs, and the other way round.
        """
        override = self.by_task.get(task, {})
        base = self.training.model_dump(exclude_unset=True)
        if "steps" in override or "epochs" in override:
            base = {key: value for key, value in base.items() if key not in ("steps", "epochs")}
        return Training.model_validate({**base, **override})


def entry_name(entry: Any) -> str:
    """The name of an entry of `tasks` or `models`, which is a name or `{name: options}`."""
    return entry if isinstance(entry, str) else str(next(iter(entry)))


def entry_options(entry: Any) -> dict[str, Any]:
    """The options of an entry of `tasks` or `models`."""
    return {} if isinstance(entry, str) else dict(next(iter(entry.values())) or {})
