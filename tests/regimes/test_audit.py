"""The audit: whatever differs from the declared regime fails the cell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from harness.errors import CellError
from harness.regimes.audit import audited
from harness.regimes.sites import Sites, install

CONFIG = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
DECLARED = {"embedding": 0.1, "attention": 0.1, "sublayer": 0.1, "head": 0.1}


def make() -> tuple[Any, Sites]:
    model = BertForSequenceClassification(BertConfig(**CONFIG))
    sites = install(model)
    sites.set(DECLARED)
    model.train()
    return model, sites


def forward(model: Any) -> None:
    model(torch.randint(1, 40, (2, 6)))


def test_what_is_declared_passes() -> None:
    model, sites = make()
    with audited(sites, DECLARED):
        forward(model)


def test_a_model_in_eval_mode_fails() -> None:
    model, sites = make()
    model.eval()
    with pytest.raises(CellError, match="eval mode during training"), audited(sites, DECLARED):
        forward(model)


def test_one_module_left_in_eval_mode_after_an_evaluation_fails() -> None:
    model, sites = make()
    model.bert.encoder.layer[0].attention.output.dropout.eval()
    with pytest.raises(CellError, match=r"attention\.output\.dropout is in eval mode"), audited(sites, DECLARED):
        forward(model)


@pytest.mark.parametrize("site", DECLARED)
def test_another_rate_at_any_site_fails(site: str) -> None:
    model, sites = make()
    next(slot for slot in sites.slots if slot.site == site).module.p = 0.2
    with pytest.raises(CellError, match=rf"\({site}\) has rate 0.2, declared 0.1"), audited(sites, DECLARED):
        forward(model)


def test_a_dropout_that_no_site_knows_fails_with_its_name() -> None:
    model, sites = make()
    model.bert.pooler.add_module("hidden", nn.Dropout(0.3))
    model.bert.pooler.register_forward_hook(lambda module, _, output: module.hidden(output))
    expected = r"bert\.pooler\.hidden \(no known site\) has rate 0.3"
    with pytest.raises(CellError, match=expected), audited(sites, DECLARED):
        forward(model)


def test_a_functional_dropout_fails_too() -> None:
    model, sites = make()
    model.bert.pooler.register_forward_hook(lambda _, __, output: nn.functional.dropout(output, 0.3))
    with pytest.raises(CellError, match="no known site"), audited(sites, DECLARED):
        forward(model)


def test_a_site_that_is_never_called_fails() -> None:
    model, sites = make()
    model.dropout = nn.Identity()
    with pytest.raises(CellError, match=r"dropout \(head\) dropped 0 times, expected 1"), audited(sites, DECLARED):
        forward(model)


def test_hidden_random_numbers_fail_where_every_rate_is_zero() -> None:
    model, sites = make()
    sites.set({})
    model.bert.pooler.register_forward_hook(lambda _, __, output: output + 0 * torch.rand_like(output))
    with pytest.raises(CellError, match="drew random numbers"), audited(sites, {}):
        forward(model)
