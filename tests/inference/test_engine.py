"""The engine: texts that depend on their own row only, equal to a plain loop and to transformers where that is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.errors import CellError
from harness.inference.engine import FEWEST_ROWS, distinct_rows, generate, generate_rows
from harness.inference.noise import row_keys
from harness.request import HUMAN, Generated, Prompt, Setting

Make = Callable[..., Any]
Reference = Callable[..., tuple[int, float, float]]
SETTINGS = [
    Setting(1),
    Setting(5),
    Setting(20, 0.8),
    Setting(60),
    Setting(None),
    Setting(None, 0.8, top_p=0.7),
    Setting(30, min_p=0.05),
]


def some_prompts(number: int, vocabulary: int = 97, lengths: tuple[int, ...] = (6, 9)) -> list[Prompt]:
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(vocabulary, (lengths[i % len(lengths)],), generator=generator) for i in range(number)]
    return [Prompt(f"prompt {i}", tuple(row.tolist())) for i, row in enumerate(rows)]


def run(
    model: Any, prompts: list[Prompt], settings: list[Setting], levels: list[int], **options: Any
) -> list[Generated]:
    return generate(
        model, prompts, settings, levels, **{"seed": 3, "max_new_tokens": 10, "eos_token_id": None, **options}
    )


@pytest.fixture(scope="module")
def model(tiny_gpt2: Make) -> Any:
    return tiny_gpt2()


def test_order_is_prompts_settings_levels_and_greedy_comes_once(model: Any) -> None:
    prompts = some_prompts(3)
    texts = run(model, prompts, [Setting(5), Setting(1)], [2, 0])
    expected = [(prompt, k, level) for prompt in prompts for k, level in ((5, 2), (5, 0), (1, 0))]
    assert [(text.prompt, text.setting.top_k, text.level) for text in texts] == expected


def test_equal_laws_and_equal_prompts_run_once() -> None:
    prompt, same = Prompt("a", (1, 2)), Prompt("also a", (1, 2))
    settings = [Setting(None), Setting(97), Setting(200), Setting(1, 0.7), Setting(1)]
    rows = distinct_rows([prompt, Prompt("b", (3,)), same], settings, [0, 1], 97)
    assert [(row.prompt.text, row.setting, row.level) for row in rows] == [
        (name, setting, level)
        for name in ("a", "b")
        for setting, level in ((Setting(None), 0), (Setting(None), 1), (Setting(1), 0))
    ]


def test_a_text_is_the_same_whatever_else_is_asked(model: Any) -> None:
    prompts, levels = some_prompts(5), [0, 1, 2, 3, 4]
    grid = run(model, prompts, SETTINGS, levels)
    assert len(grid) == 5 * (6 * 5 + 1)
    whole = {(text.prompt, text.setting, text.level): text for text in grid}
    for setting in SETTINGS:
        for asked in (levels[:1], levels[::-1]):
            for text in run(model, prompts[::-1], [setting], asked):
                assert text == whole[text.prompt, text.setting, text.level]
    for text in run(model, prompts[2:3], SETTINGS, levels):
        assert text == whole[text.prompt, text.setting, text.level]


@pytest.mark.parametrize("rows", [1, 8, 33])
def test_chunks_do_not_change_a_bit(model: Any, rows: int) -> None:
    prompts = some_prompts(6)
    whole = run(model, prompts, SETTINGS, [0, 1], eos_token_id=5)
    assert run(model, prompts, SETTINGS, [0, 1], eos_token_id=5, rows=rows) == whole


def test_rows_in_any_order_are_the_same_texts(model: Any) -> None:
    prompts = some_prompts(5)
    whole = run(model, prompts, SETTINGS, [0, 1], eos_token_id=5)
    asked = distinct_rows(prompts, SETTINGS, [0, 1], 97)
    # Setting by setting, as a grid asks for them: a chunk puts a prompt's rows together again.
    order = sorted(range(len(asked)), key=lambda place: (SETTINGS.index(asked[place].setting), -place))
    texts = generate_rows(model, [asked[place] for place in order], seed=3, max_new_tokens=10, eos_token_id=5, rows=50)
    assert texts == [whole[place] for place in order]
    assert generate_rows(model, [], seed=3, max_new_tokens=10, eos_token_id=5) == []


def test_equals_a_plain_loop_of_full_forwards_with_the_numpy_draw(model: Any, reference: Reference) -> None:
    # float32 logits with and without a cache differ by 1e-6, so a token could flip once in about 1e5 draws.
    for text in run(model, some_prompts(4), SETTINGS, [0, 7]):
        row_key = int(row_keys(3, [(text.prompt.id, text.level)])[0])
        tokens = list(text.prompt.token_ids)
        for index, token in enumerate(text.token_ids):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([tokens])).logits[0, -1]
            k = text.setting.top_k or len(logits)
            drawn, logprob, sampling = reference(
                logits, k, text.setting.temperature, row_key, index, text.setting.top_p, text.setting.min_p
            )
            assert drawn == token
            assert text.logprobs[index] == pytest.approx(logprob, abs=1e-4)
            assert text.sampling_logprobs[index] == pytest.approx(sampling, abs=1e-4)
            tokens.append(token)


def test_greedy_equals_transformers(model: Any) -> None:
    for text in run(model, some_prompts(6), [Setting(1)], [0]):
        theirs = model.generate(
            torch.tensor([text.prompt.token_ids]), do_sample=False, max_new_tokens=10, eos_token_id=None, pad_token_id=0
        )
        assert text.token_ids == tuple(theirs[0, len(text.prompt.token_ids) :].tolist())
        assert text.sampling_logprobs == (0.0,) * 10


def test_the_model_s_generation_config_never_sneaks_in(tiny_gpt2: Make, reference: Reference) -> None:
    flat, prompts = tiny_gpt2(vocabulary=300, spread=0.02), some_prompts(2, 300)
    plain = run(flat, prompts, [Setting(None), Setting(1)], list(range(40)), max_new_tokens=1)
    flat.generation_config.update(
        do_sample=True, top_k=50, temperature=0.5, top_p=0.5, eos_token_id=plain[0].token_ids[0], repetition_penalty=2.0
    )
    texts = run(flat, prompts, [Setting(None), Setting(1)], list(range(40)), max_new_tokens=1)
    assert texts == plain
    outside = 0
    for text in texts:
        with torch.no_grad():
            logits = flat(input_ids=torch.tensor([text.prompt.token_ids])).logits[0, -1]
        row_key = int(row_keys(3, [(text.prompt.id, text.level)])[0])
        assert text.token_ids[0] == reference(logits, text.setting.top_k or 300, 1.0, row_key, 0)[0]
        outside += text.token_ids[0] not in logits.topk(50).indices.tolist()
    # About 5 of 6 draws of a nearly flat softmax over 300 are outside its 50 best.
    assert outside > 40


def test_end_of_text_stops_a_text_and_changes_nothing_before(model: Any) -> None:
    prompts = some_prompts(6)
    endless = run(model, prompts, SETTINGS, [0, 1, 2])
    counts = torch.bincount(torch.tensor([token for text in endless for token in text.token_ids]))
    end = int(counts.argmax())
    stopped = run(model, prompts, SETTINGS, [0, 1, 2], eos_token_id=end)
    assert 0 < sum(text.finished for text in stopped) < len(stopped)
    for full, text in zip(endless, stopped, strict=True):
        length = full.token_ids.index(end) if end in full.token_ids else 10
        assert text.finished == (end in full.token_ids)
        assert text.token_ids == full.token_ids[:length]
        assert text.logprobs == full.logprobs[: length + text.finished]
        assert text.sampling_logprobs == full.sampling_logprobs[: length + text.finished]


def test_levels_and_seeds_roll_the_die(model: Any) -> None:
    texts = run(model, some_prompts(4), [Setting(None)], [0, 1]) + run(
        model, some_prompts(4), [Setting(None)], [0, 1], seed=4
    )
    assert len({text.token_ids for text in texts}) == len(texts)


def forwards(model: Any, *request: Any, **options: Any) -> tuple[list[tuple[int, int]], list[Generated]]:
    """Rows and tokens of each forward of a run, and its texts."""
    shapes: list[tuple[int, int]] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        return shapes, run(model, *request, **options)
    finally:
        hook.remove()


def test_no_forward_has_fewer_rows_than_the_bits_need(model: Any) -> None:
    shapes, _ = forwards(model, some_prompts(2), [Setting(1), Setting(5)], [0, 1], rows=5)
    assert min(rows for rows, _ in shapes) == FEWEST_ROWS
    assert max(rows for rows, _ in shapes) <= 5


def test_a_forward_has_one_row_for_each_distinct_text_that_goes_on(model: Any) -> None:
    prompts = some_prompts(12)
    endless, _ = forwards(model, prompts, SETTINGS, [0, 1, 2])
    end = run(model, prompts[:1], [Setting(1)], [0])[0].token_ids[3]
    shapes, texts = forwards(model, prompts, SETTINGS, [0, 1, 2], eos_token_id=end)
    assert sum(rows for rows, _ in shapes) < sum(rows for rows, _ in endless)
    expected = []
    for length in (6, 9):  # a chunk of its own each: nothing is padded
        mine = [text for text in texts if len(text.prompt.token_ids) == length]
        expected.append((max(FEWEST_ROWS, len({text.prompt for text in mine})), length))
        for index in range(1, 10):
            going = {(text.prompt, text.token_ids[:index]) for text in mine if len(text.logprobs) > index}
            expected.append((max(FEWEST_ROWS, len(going)), 1))
    assert shapes == expected


def test_every_module_gets_its_mode_back_and_dropout_is_off(tiny_gpt2: Make) -> None:
    model = tiny_gpt2()
    evaluated = run(model, some_prompts(4), SETTINGS, [0])
    model.train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    assert run(model, some_prompts(4), SETTINGS, [0]) == evaluated
    assert [module.training for module in model.modules()] == modes


def test_the_global_generator_is_left_alone(model: Any) -> None:
    state = torch.get_rng_state()
    run(model, some_prompts(4), SETTINGS, [0])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("prompt", "setting", "options", "message"),
    [
        ((1,) * 40, Setting(5), {}, "exceed the model's 48 positions"),
        ((), Setting(5), {}, "has no tokens"),
        ((1, 97), Setting(5), {}, "outside the model's vocabulary"),
        ((1, 2), Setting(-1), {}, "top_k must be at least 1"),
        ((1, 2), Setting(5, 0.0), {}, "temperature must be a positive number"),
        ((1, 2), Setting(5, float("nan")), {}, "temperature must be a positive number"),
        ((1, 2), Setting(5, top_p=0.0), {}, "top_p must be above 0"),
        ((1, 2), Setting(5, top_p=1.1), {}, "top_p must be above 0"),
        ((1, 2), Setting(5, min_p=1.0), {}, "min_p must be at least 0 and below 1"),
        ((1, 2), Setting(5, min_p=-0.1), {}, "min_p must be at least 0 and below 1"),
        ((1, 2), HUMAN, {}, "scored, not sampled"),
        ((1, 2), Setting(5), {"max_new_tokens": 0}, "at least 1"),
        ((1, 2), Setting(5), {"rows": 0}, "at least 1"),
        ((1, 2), Setting(5), {"fixed_rows": 0}, "at least 1"),
    ],
)
def test_impossible_requests_are_refused(
    model: Any, prompt: tuple[int, ...], setting: Setting, options: dict[str, int], message: str
) -> None:
    with pytest.raises(CellError, match=message):
        run(model, [Prompt("x", prompt)], [setting], [0], **options)


def test_the_last_position_can_be_used(model: Any) -> None:
    assert len(run(model, [Prompt("x", (1,) * 38)], [Setting(5)], [0])[0].token_ids) == 10


def test_a_broken_model_gives_no_text(tiny_gpt2: Make) -> None:
    model = tiny_gpt2()
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(float("nan"))
    with pytest.raises(CellError, match="not finite"):
        run(model, some_prompts(4), SETTINGS, [0])
