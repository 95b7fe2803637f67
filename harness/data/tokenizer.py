"""Tokenizers: trained on a task's corpus, or read from a model's folder; one object of the `tokenizers` library.

Every tokenizer that leaves this module pads nothing, cuts nothing, and takes the name of a special token in a user's
text for ordinary characters (`encode_special_tokens`; without it, a text that quotes `<|endoftext|>` would silently
end there). Both are settings of the object, not of its file: reload with `load_tokenizer`, copy with `copy_tokenizer`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from harness.data.families import ENCODERS, Family
from harness.errors import UserError

Kind = Literal["bpe", "char"]

# Ids count from 0 in this order. GPT-2 has one token for end and padding; <|unk|> only exists at character level.
SPECIAL: dict[Family, dict[str, str]] = {
    **{name: {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"} for name in ENCODERS},
    "gpt2": {"eos": "<|endoftext|>", "unk": "<|unk|>"},
}
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
# Names that published tokenizers use, in order of preference; only tokens marked as special count.
NAMES = {
    "pad": ("[PAD]", "<pad>", "<|endoftext|>", "</s>"),
    "eos": ("<|endoftext|>", "</s>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
    "unk": ("[UNK]", "<unk>", "<|unk|>"),
}


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens; None where a tokenizer has none. GPT-2 pads with its end-of-text token."""

    pad: int
    eos: int | None
    cls: int | None
    sep: int | None
    mask: int | None


def train_tokenizer(kind: Kind, corpus: Iterable[str], vocabulary: int, family: Family) -> Tokenizer:
    """A tokenizer of the corpus; the same corpus gives the same tokenizer.

    Args:
        kind: `bpe` is byte-level byte pair encoding (Sennrich et al. 2016, P16-1162; bytes as in Radford et al. 2019),
            which decodes to the very text; `char` has one token a character, and <unk> for those it has not seen.
        corpus: texts.
        vocabulary: the most tokens, special ones included; a small corpus gives fewer.
        family: which special tokens, and for encoders (RoBERTa, too) the template [CLS] a [SEP] (b [SEP]).

    Raises:
        UserError: an empty corpus, or a vocabulary that cannot hold all bytes or characters.
    """
    texts = [text for text in corpus if text]
    if not texts:
        raise UserError("cannot train a tokenizer: the corpus is empty")
    tokenizer = _train_bpe(texts, vocabulary, family) if kind == "bpe" else _characters(texts, vocabulary, family)
    if family in ENCODERS:
        cls, sep = (SPECIAL["bert"][name] for name in ("cls", "sep"))
        tokenizer.post_processor = _template(tokenizer, cls, sep)
    return _plain(tokenizer)


def _train_bpe(texts: list[str], vocabulary: int, family: Family) -> Tokenizer:
    special = [token for name, token in SPECIAL[family].items() if family in ENCODERS or name == "eos"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocabulary < len(special) + len(alphabet):
        raise UserError(
            f"tokenizer vocabulary {vocabulary} is too small: bytes and special tokens need "
            f"{len(special) + len(alphabet)}"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return tokenizer


def _characters(texts: list[str], vocabulary: int, family: Family) -> Tokenizer:
    special = list(SPECIAL[family].values())
    characters = sorted(set().union(*texts))
    if vocabulary < len(special) + len(characters):
        raise UserError(
            f"tokenizer vocabulary {vocabulary} is too small: the corpus has {len(characters)} distinct characters, "
            f"and there are {len(special)} special tokens"
        )
    vocab = {token: number for number, token in enumerate([*special, *characters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token=SPECIAL[family]["unk"], fuse_unk=False))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(special)
    return tokenizer


def _template(tokenizer: Tokenizer, cls: str, sep: str) -> Any:
    return processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder: tokenizer.json, else vocab.txt, else vocab.json and merges.txt.

    The last two are BERT's form (DistilBERT's and ELECTRA's, too) and GPT-2's or RoBERTa's.
    Padding and truncation that a file prescribes are switched off: some carry a fixed length of 128.

    Raises:
        UserError: none of these files is there, or they are malformed.
    """
    readers = {
        ("tokenizer.json",): _read_json,
        ("vocab.txt",): _read_wordpiece,
        ("vocab.json", "merges.txt"): _read_byte_level,
    }
    for names, read in readers.items():
        if all((folder / name).is_file() for name in names):
            try:
                return _plain(read(folder))
            except Exception as error:  # noqa: BLE001 - the library raises plain Exception for a malformed file
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UserError(f"{folder / names[0]}: not a tokenizer: {reason}") from None
    raise UserError(f"{folder}: no tokenizer (tokenizer.json, vocab.txt, or vocab.json and merges.txt)")


def _read_json(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _read_wordpiece(folder: Path) -> Tokenizer:
    """BERT's WordPiece; tokenizer_config.json says whether it lower-cases (BERT's default: yes)."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    tokenizer = Tokenizer(models.WordPiece.from_file(str(folder / "vocab.txt"), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=config.get("do_lower_case", True),
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    lacking = [token for token in SPECIAL["bert"].values() if tokenizer.token_to_id(token) is None]
    if lacking:
        raise ValueError(f"the vocabulary lacks {', '.join(lacking)}")
    tokenizer.add_special_tokens(list(SPECIAL["bert"].values()))
    tokenizer.post_processor = _template(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def _read_byte_level(folder: Path) -> Tokenizer:
    """GPT-2's byte-level BPE, or RoBERTa's, which has the template <s> a </s> (</s> b </s>)."""
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if tokenizer.token_to_id("<|endoftext|>") is not None:
        tokenizer.add_special_tokens(["<|endoftext|>"])
        return tokenizer
    ids = {token: tokenizer.token_to_id(token) for token in ROBERTA}
    lacking = [token for token, number in ids.items() if number is None]
    if lacking:
        raise ValueError(f"the vocabulary lacks <|endoftext|> (GPT-2) and {', '.join(lacking)} (RoBERTa)")
    # Published RoBERTa's <mask> takes the space before it; the others stand as they are.
    tokenizer.add_special_tokens([AddedToken(token, lstrip=token == "<mask>", special=True) for token in ROBERTA])
    cls, sep = ((token, ids[token] or 0) for token in ("<s>", "</s>"))
    tokenizer.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=False)
    return tokenizer


def _plain(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def copy_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """A copy with padding and truncation off, whose settings can be changed."""
    return _plain(Tokenizer.from_str(tokenizer.to_str()))


def special_ids(tokenizer: Tokenizer) -> SpecialTokens:
    """The ids of the special tokens.

    Raises:
        UserError: the tokenizer has no token to pad with.
    """
    ids = {name: _special(tokenizer, name)[0] for name in NAMES}
    if (pad := ids["pad"]) is None:
        raise UserError(f"the tokenizer has no token to pad with (one of {', '.join(NAMES['pad'])})")
    return SpecialTokens(pad=pad, eos=ids["eos"], cls=ids["cls"], sep=ids["sep"], mask=ids["mask"])


def _special(tokenizer: Tokenizer, name: str) -> tuple[int | None, str | None]:
    added: dict[int, AddedToken] = tokenizer.get_added_tokens_decoder()
    known = {token.content: number for number, token in added.items() if token.special}
    return next(((known[token], token) for token in NAMES[name] if token in known), (None, None))


def digest(tokenizer: Tokenizer) -> str:
    """32 hex digits of everything that decides the ids (padding and truncation apart)."""
    return hashlib.sha256(copy_tokenizer(tokenizer).to_str().encode()).hexdigest()[:32]


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes tokenizer.json and tokenizer_config.json; `transformers.AutoTokenizer` loads the folder as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(tokenizer).save(str(folder / "tokenizer.json"))
    named = {f"{name}_token": _special(tokenizer, name)[1] for name in NAMES}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{name: token for name, token in named.items() if token is not None},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
