"""An evaluator model: its own tokens, only those of the text, given everything before them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from judges import byte_tokenizer, causal_folder, character_tokenizer, encoder_folder, words_tokenizer
from tokenizers import processors
from transformers import AutoModelForCausalLM, BertLMHeadModel

from harness.data.tokenizer import save_tokenizer
from harness.errors import CellError, UserError
from harness.inference.evaluator import Evaluator

PAIRS = [
    ("the red kettle number 1", " is here and it stays there"),
    ("the blue pillow", " number 2 is here"),
    ("", "the grey ladder"),
    ("the ", "brown saddle"),
]


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    return Evaluator.load(causal_folder(tmp_path_factory.mktemp("judge"), byte_tokenizer()))


def test_the_text_s_tokens_sum_to_the_string_s_less_the_prompt_s(evaluator: Evaluator, tmp_path: Path) -> None:
    checkpoint = causal_folder(tmp_path, byte_tokenizer())
    model, tokenizer = AutoModelForCausalLM.from_pretrained(checkpoint.folder), byte_tokenizer()
    for (prompt, text), found in zip(PAIRS[:2], evaluator.score(PAIRS[:2]), strict=True):
        whole, start = tokenizer.encode(prompt + text).ids, len(tokenizer.encode(prompt).ids)
        assert whole[:start] == tokenizer.encode(prompt).ids  # no token reaches over the cut
        with torch.no_grad():
            logprobs = torch.log_softmax(model(input_ids=torch.tensor([whole])).logits[0].double(), dim=-1)
        expected = [float(logprobs[place - 1, whole[place]]) for place in range(start, len(whole))]
        assert found == pytest.approx(expected, abs=1e-4)


def test_a_text_without_a_prompt_begins_with_the_token_for_that(evaluator: Evaluator, tmp_path: Path) -> None:
    tokens = byte_tokenizer().encode("the grey ladder").ids
    assert len(evaluator.score([("", "the grey ladder")])[0]) == len(tokens)
    without = Evaluator.load(causal_folder(tmp_path, byte_tokenizer(), end=None))
    assert len(without.score([("", "the grey ladder")])[0]) == len(tokens) - 1


def test_a_token_over_the_cut_is_the_text_s(evaluator: Evaluator) -> None:
    whole = byte_tokenizer().encode("the red kettle")
    place = next(i for i, (start, end) in enumerate(whole.offsets) if end - start > 3)
    cut = whole.offsets[place][1] - 1
    prompt, text = "the red kettle"[:cut], "the red kettle"[cut:]
    assert len(evaluator.score([(prompt, text)])[0]) == len(whole.ids) - place
    assert evaluator.score([(prompt, "")]) == [()]


def test_characters_of_several_bytes_are_all_scored(evaluator: Evaluator) -> None:
    (found,) = evaluator.score([("the ", "\u00fc\u2603")])
    assert len(found) == 5


def test_neighbours_do_not_change_a_bit(evaluator: Evaluator) -> None:
    whole = evaluator.score(PAIRS)
    assert [evaluator.score([pair])[0] for pair in PAIRS] == whole
    assert evaluator.score(PAIRS[::-1]) == whole[::-1]


def test_the_name_of_a_special_token_in_a_text_is_plain_characters(evaluator: Evaluator) -> None:
    assert len(evaluator.score([("a", "<|endoftext|>")])[0]) > 5


def test_a_text_that_cannot_be_spelt_has_no_score(tmp_path: Path) -> None:
    evaluator = Evaluator.load(causal_folder(tmp_path / "words", words_tokenizer()))
    good, unknown, in_prompt = evaluator.score([("a", " red cup"), ("a", " purple cup"), ("the", " red cup")])
    assert unknown is None
    assert good is not None
    assert in_prompt is not None
    assert (len(good), len(in_prompt)) == (2, 2)
    characters = Evaluator.load(causal_folder(tmp_path / "characters", character_tokenizer()))
    assert [found and len(found) for found in characters.score([("the", " red"), ("the", " \u2603")])] == [4, None]


def test_a_tokenizer_that_begins_every_text_does_so(tmp_path: Path) -> None:
    plain = Evaluator.load(causal_folder(tmp_path / "plain", byte_tokenizer()))
    tokenizer = byte_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
    )
    checkpoint = causal_folder(tmp_path / "template", byte_tokenizer())
    save_tokenizer(tokenizer, checkpoint.folder)
    begun = Evaluator.load(checkpoint)
    assert (plain.lead, begun.lead) == ((), (0,))
    assert begun.score([PAIRS[2]]) == plain.score([PAIRS[2]])
    assert begun.score([PAIRS[0]]) != plain.score([PAIRS[0]])


def test_too_long_a_text_names_the_evaluator_and_the_text(tmp_path: Path) -> None:
    evaluator = Evaluator.load(causal_folder(tmp_path / "short", character_tokenizer(), positions=8))
    assert len(evaluator.score([("the ", "red k")])[0]) == 5
    with pytest.raises(CellError, match=r"evaluator short reads 8 tokens.*the red ke"):
        evaluator.score([("the ", "red ke")])


def test_a_model_that_sees_ahead_is_no_evaluator(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"decoding\.evaluator: bert: it sees the tokens that it should predict"):
        Evaluator.load(encoder_folder(tmp_path / "bert", BertLMHeadModel))


def test_a_checkpoint_that_lacks_weights_is_refused_and_nothing_is_drawn(tmp_path: Path) -> None:
    checkpoint, state = encoder_folder(tmp_path / "headless"), torch.get_rng_state()
    with pytest.raises(UserError, match="weights are missing"):
        Evaluator.load(checkpoint)
    assert torch.equal(torch.get_rng_state(), state)


def test_code_of_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    checkpoint = causal_folder(tmp_path / "odd", byte_tokenizer())
    config = checkpoint.folder / "config.json"
    changed = config.read_text().replace('"gpt2"', '"odd"')
    config.write_text(
        changed.replace("{", '{"auto_map": {"AutoModelForCausalLM": "code.Odd", "AutoConfig": "code.C"},', 1)
    )
    (checkpoint.folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError, match="odd: not to be loaded by transformers"):
        Evaluator.load(checkpoint)
