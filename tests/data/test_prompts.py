"""Prompts are nested, different, and know what people wrote after them."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
from tokenizers import Tokenizer

from harness.data.encode import encode_stream
from harness.data.prompts import Asked, asked_prompts, digest, encoded_stream
from harness.data.task import TaskData
from harness.data.tokenizer import train_tokenizer
from harness.errors import UserError

LINES = [f"line {number} of a small text" for number in range(30)]


@pytest.fixture(scope="module")
def characters() -> Tokenizer:
    return train_tokenizer("char", [*LINES, "\n =>oarsilmtpe"], 100, "gpt2")


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    return train_tokenizer("bpe", LINES, 300, "gpt2")


def stream_task(**more: str) -> TaskData:
    return TaskData("language", {"test": pd.DataFrame({"text": LINES})}, **more)  # type: ignore[arg-type]


def pairs_task() -> TaskData:
    frame = pd.DataFrame({"source": [s for s in ("oar", "sail", "mast", "rope") for _ in range(3)]})
    frame["target"] = [f"text {row}" for row in range(len(frame))]
    return TaskData("conditional", {"test": frame})


def asked(data: TaskData, tokenizer: Tokenizer, count: int, tokens: int = 6, room: int = 9) -> list[Asked]:
    return asked_prompts(data, tokenizer, count=count, tokens=tokens, room=room)


@pytest.mark.parametrize("at", ["anywhere", "documents"])
def test_more_prompts_keep_the_old_ones(pieces: Tokenizer, at: str) -> None:
    many = asked(stream_task(prompts_at=at), pieces, 8)
    assert len({one.prompt.id for one in many}) == 8
    for count in (1, 5, 7):
        assert asked(stream_task(prompts_at=at), pieces, count) == many[:count]


def test_more_sources_keep_the_old_ones(characters: Tokenizer) -> None:
    many = asked(pairs_task(), characters, 4)
    assert sorted(one.prompt.text for one in many) == ["mast =>", "oar =>", "rope =>", "sail =>"]
    assert asked(pairs_task(), characters, 3) == many[:3]
    with pytest.raises(UserError, match="5 prompts need as many distinct sources; there are 4"):
        asked(pairs_task(), characters, 5)


def test_prompts_are_spread_over_the_stream(characters: Tokenizer) -> None:
    stream = "\n".join(LINES)
    places = sorted(stream.index(one.prompt.text) for one in asked(stream_task(), characters, 8, tokens=40))
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) <= 2 * min(gaps)


def test_the_human_text_is_what_comes_next(characters: Tokenizer) -> None:
    stream = "\n".join(LINES)
    for one in asked(stream_task(), characters, 5, tokens=40):
        (human,) = one.humans
        text = characters.decode(list(human.token_ids))
        assert one.prompt.text + text in stream
        assert len(text) == 9
        assert not human.finished


def test_prompts_and_what_follows_them_never_overlap(characters: Tokenizer, pieces: Tokenizer) -> None:
    stream = "\n".join(LINES)
    for at in ("anywhere", "documents"):
        places = sorted(
            stream.index(one.prompt.text) for one in asked(stream_task(prompts_at=at), characters, 7, tokens=30, room=9)
        )
        assert all(after - before >= 39 for before, after in pairwise(places))


def test_no_more_prompts_than_there_are() -> None:
    data = TaskData("language", {"test": pd.DataFrame({"text": ["abcdefghij"]})})
    letters = train_tokenizer("char", ["abcdefghij"], 100, "gpt2")
    assert [one.prompt.text for one in asked(data, letters, 1, tokens=3, room=2)] == ["abc"]
    with pytest.raises(UserError, match=r"3 different prompts of 3 tokens, each with 2 of its own .*: there are [12]$"):
        asked(data, letters, 3, tokens=3, room=2)


def test_equal_prompts_count_once() -> None:
    data = TaskData("language", {"test": pd.DataFrame({"text": ["ab" * 20]})})
    letters = train_tokenizer("char", ["ab"], 100, "gpt2")
    assert len(asked(data, letters, 2, tokens=4, room=1)) == 2
    with pytest.raises(UserError, match=r"there are 2$"):
        asked(data, letters, 3, tokens=4, room=1)


def test_the_digest_is_of_the_prompts(characters: Tokenizer) -> None:
    one, two = (asked(stream_task(prompts_at=at), characters, 5, tokens=20) for at in ("anywhere", "documents"))
    assert digest(one) == digest(asked(stream_task(), characters, 5, tokens=20)) != digest(two)
    assert digest(one[:4]) != digest(one)


def test_a_character_of_several_tokens_begins_a_document_once() -> None:
    frame = pd.DataFrame({"text": ["\u201cquoted\u201d text", "\u201canother\u201d"]})
    tokenizer = train_tokenizer("bpe", ["plain words only"], 300, "gpt2")
    stream, starts = encoded_stream(frame, tokenizer, "\n")
    assert len(starts) == 2
    assert tokenizer.decode(stream[starts[1] :].tolist()) == "\u201canother\u201d"


def test_prompts_at_documents_begin_a_document(pieces: Tokenizer) -> None:
    prompts = asked(stream_task(prompts_at="documents"), pieces, 8)
    assert all(one.prompt.text.startswith("line ") for one in prompts)


def test_places_of_documents_are_their_first_tokens(pieces: Tokenizer) -> None:
    frame = pd.DataFrame({"text": LINES})
    stream, starts = encoded_stream(frame, pieces, "\n")
    assert stream.tolist() == encode_stream(frame, pieces, "\n").tolist()
    assert len(starts) == len(LINES)
    parts = [pieces.decode(stream[a:b].tolist()).strip("\n") for a, b in pairwise([*starts, len(stream)])]
    assert parts == LINES


def test_human_texts_of_a_source_are_all_its_targets(characters: Tokenizer) -> None:
    wide = train_tokenizer("char", ["oarsailmastropetext 0123456789=>"], 100, "gpt2")
    for one in asked(pairs_task(), wide, 4, room=8):
        texts = [wide.decode(list(human.token_ids)) for human in one.humans]
        rows = pairs_task().splits["test"]
        assert texts == [" " + text for text in rows.loc[rows["source"] + " =>" == one.prompt.text, "target"]]


def test_a_human_text_is_cut_to_the_room_and_says_so() -> None:
    data = TaskData("conditional", {"test": pd.DataFrame({"source": ["a"] * 3, "target": ["bbb", "bbbb", "bbbbbb"]})})
    letters = train_tokenizer("char", ["ab =>"], 100, "gpt2")
    (one,) = asked(data, letters, 1, room=5)
    assert [len(human.token_ids) for human in one.humans] == [4, 5, 5]
    # " bbbb" fills the room: its end would be a sixth token.
    assert [human.finished for human in one.humans] == [True, False, False]
