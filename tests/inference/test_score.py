"""Scores of given texts: equal to a plain forward, close to what sampling wrote, independent of their neighbours."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.errors import CellError
from harness.inference import score as module
from harness.inference.engine import generate
from harness.inference.score import Tokens, equal_lengths, score
from harness.request import Prompt, Setting

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def model(tiny_gpt2: Make) -> Any:
    return tiny_gpt2()


def some_sequences(number: int, vocabulary: int = 97) -> list[tuple[Tokens, Tokens]]:
    draw = random.Random(4)

    def tokens(*lengths: int) -> Tokens:
        return tuple(draw.randrange(vocabulary) for _ in range(draw.choice(lengths)))

    return [(tokens(1, 3, 6, 12), tokens(1, 2, 5, 11, 30)) for _ in range(number)]


def reference(model: Any, prompt: Tokens, text: Tokens) -> list[float]:
    """Log softmax in float64 of one plain forward over prompt and text."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + text])).logits[0].double()
    logprobs = torch.log_softmax(logits, dim=-1)
    return [float(logprobs[len(prompt) - 1 + place, token]) for place, token in enumerate(text)]


def test_equals_a_plain_forward(model: Any) -> None:
    sequences = some_sequences(40)
    for (prompt, text), found in zip(sequences, score(model, sequences), strict=True):
        assert found == pytest.approx(reference(model, prompt, text), abs=1e-4)


def test_agrees_with_what_sampling_wrote(model: Any) -> None:
    prompts = [Prompt(f"{i}", (i, 2 * i, 3)) for i in range(8)]
    texts = generate(model, prompts, [Setting(1), Setting(None)], [0, 1], seed=3, max_new_tokens=12, eos_token_id=5)
    drawn = [text.token_ids + (5,) * text.finished for text in texts]
    assert any(text.finished for text in texts)
    found = score(model, [(text.prompt.token_ids, ids) for text, ids in zip(texts, drawn, strict=True)])
    for text, logprobs in zip(texts, found, strict=True):
        assert logprobs == pytest.approx(text.logprobs, abs=2e-5)


@pytest.mark.parametrize("at_once", [1, 20_000, 2**24])
def test_neighbours_order_and_batches_do_not_change_a_bit(
    model: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = some_sequences(150)
    whole = score(model, sequences)
    monkeypatch.setattr(module, "_LOGITS_AT_ONCE", at_once)
    assert score(model, sequences) == whole
    assert score(model, sequences[::-1])[::-1] == whole
    assert score(model, sequences[::3]) == whole[::3]
    assert [score(model, [one])[0] for one in sequences[:40]] == whole[:40]


def test_equal_sequences_are_computed_once_and_an_empty_text_has_no_scores(model: Any) -> None:
    seen = []
    with_hook = model.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    found = score(model, [((1, 2), (3,)), ((1, 2), ()), ((), ()), ((1, 2), (3,))])
    with_hook.remove()
    assert seen == [(4, 2)]
    assert found[0] == found[3]
    assert found[1:3] == [(), ()]
    assert score(model, []) == []


def test_leaves_no_trace(tiny_gpt2: Make) -> None:
    model = tiny_gpt2()
    model.train()
    model.transformer.h[0].eval()
    modes, state = [one.training for one in model.modules()], torch.get_rng_state()
    first = score(model, some_sequences(5))
    assert [one.training for one in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert score(model, some_sequences(5)) == first
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_last_token_needs_no_position(model: Any) -> None:
    assert len(score(model, [((1,), (2,) * 48)])[0]) == 48
    with pytest.raises(CellError, match="prompt of 1 tokens and a text of 49 exceed the model's 48 positions"):
        score(model, [((1,), (2,) * 49)])


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (((), (1,)), "nothing comes before"),
        (((1,), (97,)), "vocabulary of 97"),
        (((-1,), (1,)), "vocabulary of 97"),
    ],
)
def test_impossible_sequences_are_refused(model: Any, sequence: tuple[Tokens, Tokens], message: str) -> None:
    with pytest.raises(CellError, match=message):
        score(model, [((1,), (1,)), sequence])


def test_numbers_that_are_not_finite_are_refused(tiny_gpt2: Make) -> None:
    model = tiny_gpt2()
    with torch.no_grad():
        model.transformer.ln_f.bias[0] = torch.inf
    with pytest.raises(CellError, match="not finite"):
        score(model, [((1,), (1, 2))])


def test_logits_narrower_than_float32_are_widened_first(tiny_gpt2: Make) -> None:
    narrow = tiny_gpt2().to(torch.bfloat16)
    (found,) = score(narrow, [((1, 2), (3, 4, 5))])
    assert found == pytest.approx(reference(narrow, (1, 2), (3, 4, 5)), abs=1e-5)


def test_parts_hold_one_length_and_stay_within_their_bound() -> None:
    words = ["aa", "b", "cc", *["d"] * 9, "eee"]
    parts = list(equal_lengths(words, len, lambda length: 6 // length))
    assert parts == [["b", "d", "d", "d", "d"], ["d"] * 5, ["aa", "cc"], ["eee"]]
