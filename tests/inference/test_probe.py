"""The probe says yes where rows are independent, and no where a model mixes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.inference.probe import row_independence

Make = Callable[..., Any]


def test_one_thread_makes_rows_independent(tiny_gpt2: Make) -> None:
    assert row_independence(tiny_gpt2())


def test_a_model_whose_rows_mix_is_found(tiny_gpt2: Make) -> None:
    model = tiny_gpt2()
    # A last-bit change that depends on the size of the batch is what a threaded matrix product does.
    model.lm_head.register_forward_hook(lambda _, __, logits: logits * (1 + 2e-7 * (len(logits) > 32)))
    assert not row_independence(model)


def test_mode_and_global_generator_are_left_alone(tiny_gpt2: Make) -> None:
    model = tiny_gpt2().train()
    state = torch.get_rng_state()
    assert row_independence(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_short_models_and_small_vocabularies(tiny_gpt2: Make) -> None:
    assert row_independence(tiny_gpt2(vocabulary=11, positions=5))
