"""Where rows are not independent: forwards of one fixed size, and a measured rate of texts that change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from harness.inference.engine import FEWEST_ROWS, flips, generate
from harness.request import HUMAN, Generated, Prompt, Setting

Make = Callable[..., Any]
SETTINGS = [Setting(1), Setting(5), Setting(None), Setting(None, top_p=0.9)]
REQUEST: dict[str, Any] = {"seed": 3, "max_new_tokens": 8, "eos_token_id": 5}


@pytest.fixture(scope="module")
def model(tiny_gpt2: Make) -> Any:
    return tiny_gpt2()


def some_prompts(number: int) -> list[Prompt]:
    generator = torch.Generator().manual_seed(1)
    return [Prompt("", tuple(torch.randint(97, (5 + i % 2,), generator=generator).tolist())) for i in range(number)]


@contextmanager
def mixing(model: Any, strength: float) -> Iterator[None]:
    """A model whose logits depend on what else is in the batch, and where."""

    def mix(_: Any, __: Any, logits: torch.Tensor) -> torch.Tensor:
        place = torch.arange(1, len(logits) + 1)[:, None, None] / len(logits)
        return logits + strength * place * (logits.roll(1, 0) + logits.sum(0) / len(logits))

    hook = model.lm_head.register_forward_hook(mix)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("fixed", [16, 50])
def test_every_forward_has_exactly_the_fixed_rows(model: Any, fixed: int) -> None:
    sizes: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        texts = generate(model, some_prompts(7), SETTINGS, [0, 1], fixed_rows=fixed, **REQUEST)
    finally:
        hook.remove()
    assert set(sizes) == {fixed}
    assert texts == generate(model, some_prompts(7), SETTINGS, [0, 1], **REQUEST)


def test_no_text_flips_where_rows_are_independent(model: Any) -> None:
    texts = generate(model, some_prompts(7), SETTINGS, [0, 1], fixed_rows=16, **REQUEST)
    assert flips(model, texts, fixed_rows=16, **REQUEST) == (49, 0)


def test_texts_that_depend_on_their_neighbours_are_counted(model: Any) -> None:
    with mixing(model, 0.5):
        texts = generate(model, some_prompts(7), SETTINGS, [0, 1], fixed_rows=16, **REQUEST)
        again, differing = flips(model, texts, fixed_rows=16, **REQUEST)
    assert again == 49
    assert differing > 24
    # Every text that comes again is compared with itself: those of another model nearly all differ.
    assert flips(model, texts, fixed_rows=16, **REQUEST)[1] > 24


def test_only_texts_that_differ_count(model: Any) -> None:
    texts = generate(model, some_prompts(6), SETTINGS, [0, 1], fixed_rows=16, **REQUEST)
    spoilt = [Generated(**{**vars(text), "token_ids": (96, *text.token_ids)}) for text in texts[:5]]
    assert flips(model, spoilt + texts[5:], fixed_rows=16, **REQUEST) == (42, 5)


def test_a_sample_of_at_most_64_sampled_texts(model: Any) -> None:
    texts = generate(model, some_prompts(30), SETTINGS, [0, 1], **REQUEST)
    human = [Generated(text.prompt, HUMAN, 0, (96,), (-1.0,), (), True) for text in texts]
    assert len(texts) == 30 * 7
    assert flips(model, texts + human, fixed_rows=FEWEST_ROWS, **REQUEST) == (53, 0)
    assert flips(model, human, fixed_rows=16, **REQUEST) == (0, 0)
    assert flips(model, texts[:1], fixed_rows=16, **REQUEST) == (1, 0)


def test_two_threads_can_be_measured(model: Any) -> None:
    torch.set_num_threads(2)  # the fixture `one_thread` puts it back
    texts = generate(model, some_prompts(6), SETTINGS, [0, 1], fixed_rows=32, **REQUEST)
    again, differing = flips(model, texts, fixed_rows=32, **REQUEST)
    assert again == 42
    # Roundings of 1e-7 flip a token only at a near-tie: expected 1e-4 texts here.
    assert differing == 0
