"""Building the model of a cell, with every new weight drawn from the `init` role by parameter name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import nn
from transformers import initialization

from harness.errors import CellError
from harness.randomness import Role, Streams
from harness.spec.cells import Problem
from harness.training.inputs import Inputs

Objective = Literal["classification", "causal", "masked"]

_CLASSES: dict[tuple[str, Objective], Any] = {
    ("bert", "classification"): transformers.BertForSequenceClassification,
    ("bert", "masked"): transformers.BertForMaskedLM,
    ("roberta", "classification"): transformers.RobertaForSequenceClassification,
    ("roberta", "masked"): transformers.RobertaForMaskedLM,
    ("distilbert", "classification"): transformers.DistilBertForSequenceClassification,
    ("distilbert", "masked"): transformers.DistilBertForMaskedLM,
    ("electra", "classification"): transformers.ElectraForSequenceClassification,
    # ELECTRA's own pretraining needs a generator beside it: a scratch base is pretrained like the other encoders.
    ("electra", "masked"): transformers.ElectraForMaskedLM,
    ("gpt2", "classification"): transformers.GPT2ForSequenceClassification,
    ("gpt2", "causal"): transformers.GPT2LMHeadModel,
}
_CONFIGS: dict[str, Any] = {
    "bert": transformers.BertConfig,
    "roberta": transformers.RobertaConfig,
    "distilbert": transformers.DistilBertConfig,
    "electra": transformers.ElectraConfig,
    "gpt2": transformers.GPT2Config,
}


def objective_of(problem: Problem) -> Objective:
    """What a training cell of this problem optimises."""
    return "classification" if problem.kind == "classification" else "causal"


def new_model(problem: Problem, inputs: Inputs, objective: Objective, streams: Streams, attention: str) -> Any:
    """A model from random weights, all of them keyed."""
    shape = problem.model.shape
    assert shape is not None
    values = shape.config(problem.vocabulary, inputs.special.pad)
    config = _CONFIGS[shape.family](**values, **_config(inputs, objective))
    config._attn_implementation = attention
    model = _CLASSES[shape.family, objective](config)
    draw_weights(model, {name for name, _ in model.named_parameters()}, streams)
    _name_special(model, inputs)
    return model


def load_model(
    problem: Problem, inputs: Inputs, folder: Path, objective: Objective, streams: Streams, attention: str
) -> Any:
    """A model from a checkpoint folder; weights that the checkpoint lacks (a new head) are keyed.

    Raises:
        CellError: the checkpoint lacks more than a head: it is not a checkpoint of this family.
    """
    cls = _CLASSES[problem.model.family, objective]
    model, report = cls.from_pretrained(
        folder,
        output_loading_info=True,
        attn_implementation=attention,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        **_config(inputs, objective),
    )
    missing = set(report["missing_keys"])
    names = {name for name, _ in model.named_parameters()}
    prefix = f"{model.base_model_prefix}."
    body = sorted(name for name in missing & names if name.startswith(prefix) and ".pooler." not in name)
    if body:
        raise CellError(f"checkpoint {folder} lacks {len(body)} weights of the model's body, for example {body[0]}")
    draw_weights(model, missing & names, streams)
    if model.can_generate():
        # Our sampler reads none of it; a bare one keeps a checkpoint's defaults out of what we export, too.
        model.generation_config = transformers.GenerationConfig()
    _name_special(model, inputs)
    return model


def _name_special(model: Any, inputs: Inputs) -> None:
    """Token dropout spares what the configuration names as special; BERT's classes have no field for these two."""
    model.config.cls_token_id, model.config.sep_token_id = inputs.special.cls, inputs.special.sep


def _config(inputs: Inputs, objective: Objective) -> dict[str, Any]:
    special = inputs.special
    values: dict[str, Any] = {"pad_token_id": special.pad, "bos_token_id": None, "eos_token_id": special.eos}
    if objective == "classification":
        values["num_labels"] = len(inputs.data.labels)
    return values


def draw_weights(model: Any, names: set[str], streams: Streams, role: Role = "init") -> None:
    """Draws the named parameters anew by the model's own initialisation, each keyed by its name.

    The others are untouched, whatever the ambient generator's state; tied weights stay tied. Every draw is repeated
    from its key, so a module whose parent draws it again (GPT-2's c_proj) still ends with a pure function of it.
    """
    parameters = dict(model.named_parameters())
    flagged = {name: getattr(parameter, "_is_hf_initialized", False) for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        parameter._is_hf_initialized = name not in names
    seeds = {id(parameters[name]): streams.torch_seed(role, name) for name in names}
    try:
        with torch.no_grad(), _keyed(seeds):
            model.apply(model._init_weights)
    finally:
        for name, parameter in parameters.items():
            parameter._is_hf_initialized = flagged[name]
    model.tie_weights()


@contextmanager
def _keyed(seeds: dict[int, int]) -> Iterator[None]:
    """Inside the block, transformers' initialisers draw from a generator keyed by the tensor they fill."""
    table: dict[str, Any] = initialization.TORCH_INIT_FUNCTIONS
    originals = dict(table)
    random = (
        "uniform_",
        "normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "trunc_normal_",
        "orthogonal_",
        "sparse_",
    )

    def wrap(function: Any) -> Any:
        def draw(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if id(tensor) not in seeds:
                raise CellError("a weight without a name would be drawn from an unkeyed generator")
            kwargs["generator"] = torch.Generator().manual_seed(seeds[id(tensor)])
            return function(tensor, *args, **kwargs)

        return draw

    try:
        table.update({name: wrap(originals[name]) for name in random})
        yield
    finally:
        table.update(originals)


def trainable(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices, none on biases and norms."""
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
