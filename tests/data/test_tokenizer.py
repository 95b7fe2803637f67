"""Tokenizers: lossless, repeatable, without hidden padding, and the same to transformers."""

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from toolbox import write_roberta_vocabulary

from harness.data.families import Family
from harness.data.tokenizer import (
    Kind,
    SpecialTokens,
    digest,
    load_tokenizer,
    save_tokenizer,
    special_ids,
    train_tokenizer,
)
from harness.errors import UserError

CORPUS = [
    "The keeper of the tower keeps the keys .",
    "Keys and towers , keepers and keys !",
    "tower keys tower keys",
] * 3
MODEL = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "minilm-l6-h384"
ALL = [(kind, family) for kind in get_args(Kind) for family in get_args(Family)]
GPT2 = train_tokenizer("bpe", CORPUS, 300, "gpt2")


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=200, deadline=None)
def test_byte_level_decoding_gives_the_very_text(text: str) -> None:
    assert GPT2.decode(GPT2.encode(text).ids, skip_special_tokens=False) == text


def test_bpe_learns_merges() -> None:
    assert len(GPT2.encode(CORPUS[0]).ids) < len(CORPUS[0].encode()) / 2


@pytest.mark.parametrize(("kind", "family"), ALL)
def test_training_twice_gives_the_same_file(kind: Kind, family: Family) -> None:
    first, second = (train_tokenizer(kind, iter(CORPUS), 300, family) for _ in range(2))
    assert first.to_str() == second.to_str()
    assert digest(first) == digest(second)
    assert digest(first) != digest(train_tokenizer(kind, [*CORPUS, "zzz zzz zzz"], 300, family))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_special_ids(kind: Kind) -> None:
    bert = train_tokenizer(kind, CORPUS, 300, "bert")
    assert special_ids(bert) == SpecialTokens(pad=0, eos=None, cls=2, sep=3, mask=4)
    assert bert.token_to_id("[UNK]") == 1
    gpt2 = train_tokenizer(kind, CORPUS, 300, "gpt2")
    assert special_ids(gpt2) == SpecialTokens(pad=0, eos=0, cls=None, sep=None, mask=None)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_bert_template(kind: Kind) -> None:
    tokenizer = train_tokenizer(kind, CORPUS, 300, "bert")
    a, b = (tokenizer.encode(text, add_special_tokens=False).ids for text in ("the", "key"))
    assert tokenizer.encode("the").ids == [2, *a, 3]
    pair = tokenizer.encode("the", "key")
    assert pair.ids == [2, *a, 3, *b, 3]
    assert pair.type_ids == [0] * (len(a) + 2) + [1] * (len(b) + 1)


def test_characters_are_one_token_each_and_the_unseen_are_unknown() -> None:
    tokenizer = train_tokenizer("char", ["ab c\n", "bd"], 100, "gpt2")
    assert tokenizer.get_vocab_size() == len("\n abcd") + 2
    ids = tokenizer.encode("a\u20acb\n").ids
    assert len(ids) == 4
    assert ids[1] == tokenizer.token_to_id("<|unk|>") != special_ids(tokenizer).eos
    assert tokenizer.decode(tokenizer.encode("dab c\n b").ids) == "dab c\n b"


@pytest.mark.parametrize(("kind", "family"), ALL)
def test_a_special_token_quoted_in_a_text_is_plain_text(kind: Kind, family: Family, tmp_path: Path) -> None:
    quoted = "the <|endoftext|> and [SEP] key"
    trained = train_tokenizer(kind, [*CORPUS, quoted], 300, family)
    save_tokenizer(trained, tmp_path)
    for tokenizer in (trained, load_tokenizer(tmp_path)):
        ids = tokenizer.encode(quoted, add_special_tokens=False).ids
        assert not {special_ids(tokenizer).pad, special_ids(tokenizer).sep} & set(ids)
        assert tokenizer.decode(ids, skip_special_tokens=False) == quoted


@pytest.mark.parametrize("kind", get_args(Kind))
def test_useless_requests_are_refused(kind: Kind) -> None:
    with pytest.raises(UserError, match="corpus is empty"):
        train_tokenizer(kind, [""], 300, "gpt2")
    with pytest.raises(UserError, match="vocabulary 6 is too small"):
        train_tokenizer(kind, ["abcdefg"], 6, "gpt2")


def test_fixed_padding_and_truncation_of_a_file_are_switched_off(tmp_path: Path) -> None:
    tokenizer = train_tokenizer("bpe", CORPUS, 300, "bert")
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(16)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert len(Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("key").ids) == 128  # the trap is set
    loaded = load_tokenizer(tmp_path)
    assert len(loaded.encode("key").ids) < 10
    assert len(loaded.encode("key " * 200).ids) > 200


@pytest.mark.parametrize(("kind", "family"), ALL)
def test_transformers_loads_a_saved_folder_with_the_same_ids(kind: Kind, family: Family, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = train_tokenizer(kind, CORPUS, 300, family)
    save_tokenizer(tokenizer, tmp_path)
    theirs = AutoTokenizer.from_pretrained(str(tmp_path))
    special = special_ids(tokenizer)
    assert theirs("the keys ,  tower")["input_ids"] == tokenizer.encode("the keys ,  tower").ids
    assert theirs("the", "key")["input_ids"] == tokenizer.encode("the", "key").ids
    assert (theirs.pad_token_id, theirs.eos_token_id, theirs.cls_token_id) == (special.pad, special.eos, special.cls)
    ids = tokenizer.encode("the keys ,  tower", add_special_tokens=False).ids
    assert theirs.decode(ids) == "the keys ,  tower"
    assert len(theirs) == tokenizer.get_vocab_size()


def test_saving_and_loading_keeps_the_digest(tmp_path: Path) -> None:
    tokenizer = train_tokenizer("bpe", CORPUS, 300, "gpt2")
    save_tokenizer(tokenizer, tmp_path)
    assert digest(load_tokenizer(tmp_path)) == digest(tokenizer)


def test_gpt2_files(tmp_path: Path) -> None:
    GPT2.model.save(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"vocab.json", "merges.txt"}
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode("The keepers' tower\n\n keys").ids == GPT2.encode("The keepers' tower\n\n keys").ids
    assert special_ids(loaded).eos == 0


def test_roberta_files(tmp_path: Path) -> None:
    """Published as vocab.json and merges.txt, too; the template is <s> a </s></s> b </s>."""
    from transformers import RobertaTokenizer

    write_roberta_vocabulary(tmp_path, CORPUS)
    loaded, theirs = load_tokenizer(tmp_path), RobertaTokenizer.from_pretrained(str(tmp_path))
    assert special_ids(loaded) == SpecialTokens(pad=1, eos=2, cls=0, sep=2, mask=4)
    for texts in (("The keepers' tower\n keys",), ("The keys", "of the tower !")):
        assert loaded.encode(*texts).ids == theirs(*texts)["input_ids"]
    assert loaded.encode("a", "b").ids.count(2) == 3
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "<s>": 1}))
    (tmp_path / "merges.txt").write_text("")
    with pytest.raises(UserError, match=r"the vocabulary lacks <\|endoftext\|> \(GPT-2\) and <pad>, </s>"):
        load_tokenizer(tmp_path)


def test_wordpiece_vocabulary(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "key", "##s", "Key", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    assert load_tokenizer(tmp_path).encode("The Keys. tower").ids == [2, 5, 6, 7, 9, 1, 3]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert load_tokenizer(tmp_path).encode("The Keys").ids == [2, 1, 8, 7, 3]
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"vocab\.txt: not a tokenizer: the vocabulary lacks"):
        load_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer\.json: not a tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.skipif(not MODEL.is_dir(), reason="the MiniLM checkpoint is not beside the repository")
def test_a_published_tokenizer_and_its_bare_vocabulary_agree(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes((MODEL / "vocab.txt").read_bytes())
    full, bare = load_tokenizer(MODEL), load_tokenizer(tmp_path)
    for text in ("Unbelievably caf\u00e9-like, isn't it?", "\u6f22\u5b57 and [MASK] ..."):
        assert bare.encode(text, "second").ids == full.encode(text, "second").ids
    assert special_ids(full) == special_ids(bare) == SpecialTokens(pad=0, eos=None, cls=101, sep=102, mask=103)
    assert len(full.encode("short").ids) == 3
