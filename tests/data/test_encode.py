"""Rows of text to rows of ids: lengths, segments, loss positions, prompts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer
from toolbox import write_roberta_vocabulary

from harness.data.encode import (
    encode_classification,
    encode_conditional,
    encode_stream,
)
from harness.data.prompts import asked_prompts
from harness.data.task import TaskData
from harness.data.tokenizer import load_tokenizer, train_tokenizer
from harness.errors import UserError

TEXTS = ["a small boat", "", "boat and oar and sail and mast and rope", "sail"]
PAIRS = ["the oar", "sail", "a rope", "mast and boat and oar and rope and sail and tar"]


@pytest.fixture(scope="module")
def bert() -> Tokenizer:
    return train_tokenizer("char", TEXTS + PAIRS, 100, "bert")


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    return train_tokenizer("char", [*TEXTS, *PAIRS, "\n =>"], 100, "gpt2")


def text_of(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    return tokenizer.decode(ids.tolist(), skip_special_tokens=False)


def test_bert_rows_are_the_tokenizers_own(bert: Tokenizer) -> None:
    rows = encode_classification(pd.DataFrame({"text": TEXTS, "label": [0, 1, 0, 1]}), bert, 100, "bert")
    for i, text in enumerate(TEXTS):
        assert rows.row(i).tolist() == bert.encode(text).ids
        assert rows.length(i) == rows.lengths[i] == rows.second_from[i] == len(text) + 2
    assert rows.labels is not None
    assert rows.labels.tolist() == [0, 1, 0, 1]
    assert (rows.ids.dtype, rows.offsets.dtype, rows.labels.dtype) == (np.int32, np.int64, np.int64)
    assert not rows.loss_from.any()


def test_bert_pairs_mark_the_second_segment_and_cut_the_longer_text(bert: Tokenizer) -> None:
    rows = encode_classification(pd.DataFrame({"text": TEXTS, "text_pair": PAIRS}), bert, 20, "bert")
    assert rows.labels is None
    for i in range(len(TEXTS)):
        types = bert.encode(TEXTS[i], PAIRS[i]).type_ids
        if len(types) <= 20:
            assert rows.second_from[i] == types.index(1)
            assert rows.length(i) == len(types)
        else:
            assert rows.length(i) == 20
    assert text_of(bert, rows.row(2)) == "[CLS]boat and oa[SEP]a rope[SEP]"
    assert text_of(bert, rows.row(3)) == "[CLS]sail[SEP]mast and boat[SEP]"


def test_roberta_pairs_have_two_separators_and_cut_the_longer_text(tmp_path: Path) -> None:
    """Its template has type 0 throughout; the second segment still begins at the second text."""
    write_roberta_vocabulary(tmp_path, TEXTS + PAIRS)
    roberta = load_tokenizer(tmp_path)
    rows = encode_classification(pd.DataFrame({"text": TEXTS, "text_pair": PAIRS}), roberta, 16, "roberta")
    for i, (text, pair) in enumerate(zip(TEXTS, PAIRS, strict=True)):
        first, second = (roberta.encode(part, add_special_tokens=False).ids for part in (text, pair))
        ids, begin = rows.row(i).tolist(), int(rows.second_from[i])
        if len(first) + len(second) <= 12:
            assert ids == [0, *first, 2, 2, *second, 2]
            assert begin == len(first) + 3
        else:
            assert len(ids) == 16
            assert ids[begin - 2 : begin] == [2, 2]
    alone = encode_classification(pd.DataFrame({"text": TEXTS}), roberta, 16, "roberta")
    assert alone.row(1).tolist() == [0, 2]
    assert alone.second_from.tolist() == alone.lengths.tolist()


def test_gpt2_rows_are_cut_at_the_end(gpt2: Tokenizer) -> None:
    rows = encode_classification(pd.DataFrame({"text": TEXTS, "label": [0, 1, 0, 1]}), gpt2, 10, "gpt2")
    assert [text_of(gpt2, rows.row(i)) for i in range(4)] == ["a small bo", "<|endoftext|>", "boat and o", "sail"]
    assert rows.second_from.tolist() == [10, 1, 10, 4]


def test_gpt2_pairs_keep_both_texts(gpt2: Tokenizer) -> None:
    rows = encode_classification(pd.DataFrame({"text": TEXTS, "text_pair": PAIRS}), gpt2, 15, "gpt2")
    texts = [text_of(gpt2, rows.row(i)) for i in range(4)]
    assert texts == ["a small \nthe oa", "\nsail", "boat and\na rope", "sail\nmast and b"]
    assert rows.second_from.tolist() == [text.index("\n") for text in texts]


@pytest.mark.parametrize("limit", range(2, 40))
def test_gpt2_pairs_use_all_the_room_and_no_more(gpt2: Tokenizer, limit: int) -> None:
    rows = encode_classification(pd.DataFrame({"text": TEXTS, "text_pair": PAIRS}), gpt2, limit, "gpt2")
    whole = [len(a) + 1 + len(b) for a, b in zip(TEXTS, PAIRS, strict=True)]
    assert rows.lengths.tolist() == [min(limit, length) for length in whole]


def test_a_length_without_room_for_text_is_refused(bert: Tokenizer, gpt2: Tokenizer) -> None:
    frame = pd.DataFrame({"text": ["a"], "text_pair": ["b"]})
    with pytest.raises(UserError, match="max_length 4 is too small"):
        encode_classification(frame, bert, 4, "bert")
    with pytest.raises(UserError, match="max_length 1 is too small"):
        encode_classification(frame, gpt2, 1, "gpt2")


def test_encoding_leaves_the_tokenizer_as_it_was(bert: Tokenizer) -> None:
    before = bert.to_str()
    encode_classification(pd.DataFrame({"text": TEXTS}), bert, 5, "bert")
    assert bert.to_str() == before
    assert bert.encode_special_tokens


def test_take_repeats_and_reorders(bert: Tokenizer) -> None:
    rows = encode_classification(
        pd.DataFrame({"text": TEXTS, "text_pair": PAIRS, "label": [0, 1, 2, 3]}), bert, 99, "bert"
    )
    taken = rows.take([3, 0, 3])
    assert [taken.row(i).tolist() for i in range(3)] == [rows.row(i).tolist() for i in (3, 0, 3)]
    assert taken.labels is not None
    assert taken.labels.tolist() == [3, 0, 3]
    assert taken.second_from.tolist() == rows.second_from[[3, 0, 3]].tolist()
    assert len(taken) == 3
    assert len(rows.take([])) == 0


def test_the_stream_is_the_joined_text(gpt2: Tokenizer) -> None:
    stream = encode_stream(pd.DataFrame({"text": TEXTS}), gpt2, "\n")
    assert stream.dtype == np.int32
    assert text_of(gpt2, stream) == "\n".join(TEXTS)


def test_conditional_rows_count_the_loss_from_the_target_on(gpt2: Tokenizer) -> None:
    frame = pd.DataFrame({"source": ["sail", "oar"], "target": ["a boat", "rope"]})
    rows = encode_conditional(frame, gpt2, 30)
    for i, (source, target) in enumerate(zip(frame["source"], frame["target"], strict=True)):
        begin = int(rows.loss_from[i])
        assert text_of(gpt2, rows.row(i)) == f"{source} => {target}<|endoftext|>"
        assert text_of(gpt2, rows.row(i)[begin:]) == f" {target}<|endoftext|>"
    data = TaskData("conditional", {"test": frame})
    for one in asked_prompts(data, gpt2, count=2, tokens=0, room=20):
        i = frame["source"].tolist().index(one.prompt.text.removesuffix(" =>"))
        row, begin = rows.row(i).tolist(), int(rows.loss_from[i])
        assert list(one.prompt.token_ids) == row[:begin]
        assert [*one.humans[0].token_ids, row[-1]] == row[begin:]


def test_a_reference_is_never_cut(gpt2: Tokenizer, bert: Tokenizer) -> None:
    frame = pd.DataFrame({"source": ["oar"] * 3, "target": ["a", "a boat", "a small boat"]})
    needed = len("oar => a small boat") + 1
    encode_conditional(frame, gpt2, needed)
    with pytest.raises(UserError, match=f"2 of 3 rows are longer than max_length 11: needs {needed}"):
        encode_conditional(frame, gpt2, 11)
    with pytest.raises(UserError, match="end-of-text"):
        encode_conditional(frame, bert, 50)
