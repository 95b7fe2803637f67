"""A regime in place in a tiny model of every supported class, and one forward through it."""

from __future__ import annotations

from typing import Any

import model_classes
import numpy as np
import torch
from torch import Tensor, nn

from harness.regimes.parse import parse_regime
from harness.regimes.regime import Regime
from harness.regimes.sites import Sites, install
from harness.training.inputs import MicroBatch
from harness.training.objective import forward

CLS, SEP = 1, 2
LAYERS = HEADS = 2
# DistilGPT-2 is a GPT-2 with more layers.
CLASSES = {name: one for name, one in model_classes.CLASSES.items() if one.layers == LAYERS}
FAMILIES = {name: name.split("-")[0] for name in CLASSES}


def build(name: str) -> Any:
    """The same weights at every call, in training mode; its configuration names two special tokens."""
    model = CLASSES[name].build().train()
    model.config.cls_token_id, model.config.sep_token_id = CLS, SEP
    return model


def silent(name: str) -> Any:
    """The same model without any dropout, untouched by the harness."""
    model = build(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def placed(name: str, raw: Any) -> tuple[Any, Sites, Regime]:
    """The model with a regime in place, at the rates of step 0."""
    regime = parse_regime("a", raw, "a")
    model = build(name)
    sites = install(model, regime)
    regime = regime.for_sites(sites.names)
    sites.set(regime.rates(0, 1))
    return model, sites, regime


def batch(rows: int = 4, length: int = 9) -> MicroBatch:
    """Rows that begin with [CLS] and end with [SEP], of ids that are no special tokens."""
    ids = torch.randint(3, 40, (rows, length), generator=torch.Generator().manual_seed(1))
    ids[:, 0], ids[:, -1] = CLS, SEP
    return MicroBatch({"input_ids": ids}, torch.arange(rows) % 2, np.arange(rows))


def logits(model: Any, sites: Sites | None = None, seed: int = 3, rows: int = 4) -> Tensor:
    """Logits of one forward under seeded masks."""
    torch.manual_seed(seed)
    return forward(model, batch(rows), sites.weights() if sites else None)


def gradients(model: Any, output: Tensor) -> dict[str, Tensor]:
    """Gradients of a fixed function of the logits, by parameter name; those without one are left out."""
    model.zero_grad()
    torch.autograd.backward((output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum())
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
