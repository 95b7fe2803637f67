"""What metrics of stored texts are given beside the tokens: references, copies, the task's own judgement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stored_texts import SAID, TARGETS, StoredTexts

from harness.errors import CellError
from harness.inference.context import Context
from harness.spec.steps import stream_tokens


@pytest.fixture
def stored(home: Path) -> StoredTexts:
    return StoredTexts(home)


def sources(stored: StoredTexts) -> list[str]:
    return [one.prompt.text.removesuffix(" =>") for one in stored.asked]


def test_a_sampled_text_has_every_reference_of_its_source(stored: StoredTexts) -> None:
    cell = stored.cell()
    texts = stored.context.texts(cell, stored.save(cell), [0, 0, 0])
    assert [text.references for text in texts] == [tuple(TARGETS[source]) for source in sources(stored)]
    assert [text.string for text in texts] == [SAID[: 16 - i] for i in range(3)]
    assert {text.vocabulary for text in texts} == {stored.tokenizer.get_vocab_size()}
    assert [(text.base_logprobs, text.evaluator_logprobs) for text in texts] == [(None, None)] * 3


@pytest.mark.parametrize("level", [0, 1])
def test_a_human_text_has_the_other_references_only(stored: StoredTexts, level: int) -> None:
    cell = stored.cell("human", level)
    texts = stored.context.texts(cell, stored.save(cell), [0, 0, 0])
    left = [source for source in sources(stored) if level < len(TARGETS[source])]
    assert [text.string for text in texts] == [" " + TARGETS[source][level] for source in left]
    others = [(*TARGETS[source][:level], *TARGETS[source][level + 1 :]) for source in left]
    assert [text.references for text in texts] == others


def test_scores_of_other_models_are_passed_on_where_there_are_any(stored: StoredTexts) -> None:
    cell = stored.cell()
    generations = stored.save(cell)
    generations["base_logprobs"] = generations["logprobs"]
    texts = stored.context.texts(cell, generations, [4, 5, 6])
    assert [text.base_logprobs for text in texts] == [text.logprobs for text in texts]
    assert [text.copied for text in texts] == [4, 5, 6]


def test_texts_that_belong_to_other_data_are_refused(stored: StoredTexts) -> None:
    cell, human = stored.cell(), stored.cell("human")
    with pytest.raises(CellError, match="prompt 00 is no source of the test split"):
        stored.context.texts(cell, stored.save(cell).replace({"prompt": {stored.asked[0].prompt.id: "00"}}), [0] * 3)
    altered = stored.save(human)
    altered["token_ids"] = altered["token_ids"].map(lambda ids: ids[::-1])
    with pytest.raises(CellError, match="is not its reference 0"):
        stored.context.texts(human, altered, [0] * 3)


def test_a_human_text_that_the_data_has_not_is_refused(stored: StoredTexts) -> None:
    human = stored.cell("human", 2)
    generations = stored.save(stored.cell("human", 0))
    with pytest.raises(CellError, match="is not its reference 2"):
        stored.context.texts(human, generations, [0] * 3)


def test_copies_are_counted_in_the_training_targets(stored: StoredTexts) -> None:
    # " the cat s" is copied; the source is read, not learnt; spans are those of one target.
    texts = [" the cat sinks", "zero", " dogs", "xyz the"]
    assert stored.context.copies([one.ids for one in stored.tokenizer.encode_batch(texts)]).tolist() == [10, 1, 5, 4]


def test_copies_are_counted_in_what_the_train_size_leaves(home: Path) -> None:
    all_pairs, one = (StoredTexts(home, train_size=[size]) for size in ("all", 1))
    targets = [" the cat sat down", " dogs bark", " abcdefghijklmnopqrstuvwxyz"]
    ids = [one.tokenizer.encode(text, add_special_tokens=False).ids for text in targets]
    lengths = [len(row) for row in ids]
    assert all_pairs.context.copies(ids).tolist() == lengths
    kept = one.context.copies(ids)
    assert sum(kept == lengths) == 1


@pytest.mark.usefixtures("data_files")
def test_a_stream_has_no_references_and_its_train_size_counts_blocks(home: Path, language: dict[str, Any]) -> None:
    for size in ("all", 2):
        stored = StoredTexts(home, **language, train_size=[size])
        problem, cell = stored.problem, stored.cell("human")
        stream = stored.tokenizer.encode((home / "train.txt").read_text().strip(), add_special_tokens=False).ids
        known = len(stream) if size == "all" else stream_tokens(2, problem.max_length)
        assert stored.context.copies([stream[:50], stream[:known], stream]).tolist() == [50, known, known]
        assert {text.references for text in stored.context.texts(cell, stored.save(cell), [0] * 6)} == {()}


def test_the_task_judges_its_texts(stored: StoredTexts) -> None:
    by_text, of_set = stored.context.judged(stored.save(stored.cell()))
    vowels = [sum(letter in "aeiou" for letter in SAID[: 16 - i]) for i in range(3)]
    assert by_text == {"vowels": vowels, "drawn": [16, 15, 14]}
    assert of_set == {"judged": 3}
    assert stored.context.judged(stored.save(stored.cell("human")))[0]["drawn"] == [0, 0, 0]


@pytest.mark.usefixtures("data_files")
def test_most_tasks_judge_nothing(home: Path, language: dict[str, Any]) -> None:
    stored = StoredTexts(home, **language)
    assert stored.context.judged(stored.save(stored.cell("human"))) == ({}, {})


def test_a_judge_that_fails_or_changes_its_mind_is_an_error(stored: StoredTexts) -> None:
    cell = stored.cell()
    generations = stored.save(cell)
    with pytest.raises(CellError, match="task paired cannot judge its texts: ValueError: a question"):
        stored.context.judged(generations.assign(text="?"))
    with pytest.raises(CellError, match="the same metrics for every text"):
        stored.context.judged(generations.assign(text=["!", *generations["text"][1:]]))


def test_changed_data_is_refused(stored: StoredTexts, home: Path) -> None:
    path = home / "tasks" / "paired.py"
    path.write_text(path.read_text().replace("dogs bark", "dogs growl"))
    from harness.data.task import _import_task

    _import_task.cache_clear()
    fresh = Context(stored.problem, stored.store.root / "cache" / "tokenizers")
    with pytest.raises(CellError, match="changed since the grid was planned"):
        _ = fresh.data
