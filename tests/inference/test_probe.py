"""The probe says yes where rows are independent, and no where a model mixes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
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


@pytest.mark.parametrize("threads", [1, 2])
def test_the_threads_of_the_caller_are_used(tiny_gpt2: Make, threads: int) -> None:
    model, seen = tiny_gpt2(), set()
    model.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    torch.set_num_threads(threads)  # the fixture `one_thread` puts it back
    row_independence(model)
    assert seen == {threads}


def test_the_batch_is_as_large_as_a_request_s(tiny_gpt2: Make) -> None:
    model = tiny_gpt2()
    model.lm_head.register_forward_hook(lambda _, __, logits: logits * (1 + 2e-7 * (len(logits) > 400)))
    assert not row_independence(model)
    assert not row_independence(model, rows=500)
    assert row_independence(model, rows=300)


def test_prompts_are_as_long_as_a_request_s(tiny_gpt2: Make) -> None:
    model = tiny_gpt2()

    def mix(_: Any, __: Any, hidden: torch.Tensor) -> torch.Tensor:
        return hidden * (1 + 2e-7 * (hidden.shape[1] == 20 and len(hidden) > 4))

    model.transformer.ln_f.register_forward_hook(mix)
    assert row_independence(model)
    assert not row_independence(model, length=20)


def test_mode_and_global_generator_are_left_alone(tiny_gpt2: Make) -> None:
    model = tiny_gpt2().train()
    state = torch.get_rng_state()
    assert row_independence(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_short_models_and_small_vocabularies(tiny_gpt2: Make) -> None:
    assert row_independence(tiny_gpt2(vocabulary=11, positions=5))
