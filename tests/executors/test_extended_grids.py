"""A finished grid that gets a k, a replicate or prompts generates the new texts only, and old ones keep every byte."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from toolbox import LANGUAGE, TINY, tiny_grid, write_data

from harness.executors.run import Outcome, Runner
from harness.spec.cells import GenerationCell
from harness.spec.load import parse_grid
from harness.store import Store
from harness.store.cache import TextCache
from harness.store.plan import summary

SMALL = {"top_k": [1, 5], "temperature": [1.0], "max_new_tokens": 8, "prompts": 4, "prompt_tokens": 8}
LARGE = {**SMALL, "top_k": [1, 3, 5], "prompts": 6, "also": [{"top_p": 0.8, "temperature": 0.9}]}
LEVELS = {"small": 2, "large": 3}
REPLICATES = 2
Grown = tuple[Path, Outcome, Outcome, list[str], Path, Outcome]


def runner(root: Path, decoding: dict[str, Any], levels: int) -> Runner:
    """A tiny language grid with a pretrained base."""
    models = [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 4}}]
    replicates = {"training": {"count": REPLICATES}, "inference": {"count": levels}, "repeats": 0}
    changes = {**LANGUAGE, "models": models, "decoding": decoding, "replicates": replicates}
    grid = parse_grid(tiny_grid(**changes, regimes={"standard-0.1": {"all": 0.1}}), "grid")
    return Runner(grid, root, jobs=1, say=lambda _: None)


def run(root: Path, decoding: dict[str, Any], levels: int) -> Outcome:
    root.mkdir(exist_ok=True)
    write_data(root)
    os.chdir(root)
    outcome = runner(root, decoding, levels).run()
    assert outcome.failed == []
    return outcome


def planned(root: Path, decoding: dict[str, Any], levels: int) -> list[str]:
    """The lines of `plan` that count texts."""
    from harness.spec.expand import expand

    store = Store(root / "results")
    parts = summary(expand(runner(root, decoding, levels).grid, store, None), store)
    return [part.plain for part in parts if isinstance(part, Text) and "texts " in part.plain]


def generated(store: Store, cells: list[GenerationCell]) -> int:
    records = [store.record(cell.uid) for cell in cells]
    return sum(record.summary["generated"] for record in records if record is not None)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """A grid that was run small and then large, what `plan` said in between, and the large one run in one go."""
    before = os.getcwd()
    steps, once = tmp_path_factory.mktemp("steps"), tmp_path_factory.mktemp("once")
    small = run(steps, SMALL, LEVELS["small"])
    lines = planned(steps, LARGE, LEVELS["large"])
    large = run(steps, LARGE, LEVELS["large"])
    whole = run(once, LARGE, LEVELS["large"])
    os.chdir(before)
    return steps, small, large, lines, once, whole


def test_only_new_texts_are_generated(grown: Grown) -> None:
    steps, small, large, lines, _, whole = grown
    old = REPLICATES * 4 * (1 + LEVELS["small"])
    wanted = REPLICATES * 6 * (1 + 3 * LEVELS["large"])
    assert lines == [
        f"{wanted - old} texts to generate ({old} more of the missing cells are stored in other cells)",
    ]
    store = Store(steps / "results")
    assert generated(store, small.expansion.generation) == old
    assert generated(store, large.expansion.generation) == wanted - old
    assert generated(Store(grown[4] / "results"), whole.expansion.generation) == wanted


def test_every_byte_is_that_of_a_grid_run_in_one_go(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, _, large, _, once, whole = grown
    mine, theirs = (
        {cell.uid: Store(root / "results").record(cell.uid) for cell in outcome.expansion.generation}
        for root, outcome in ((steps, large), (once, whole))
    )
    assert mine.keys() == theirs.keys()
    assert len(mine) == REPLICATES * (1 + 3 * LEVELS["large"] + 1)
    assert all(mine[uid].checksums == theirs[uid].checksums != {} for uid in mine)  # type: ignore[union-attr]
    assert large.tables["generations"].drop(columns="uid").equals(whole.tables["generations"].drop(columns="uid"))
    monkeypatch.chdir(once)
    assert planned(once, LARGE, LEVELS["large"]) == []


def test_one_new_k_generates_that_k_only(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    root, more = grown[0], {**LARGE, "top_k": [1, 2, 3, 5]}
    monkeypatch.chdir(root)
    assert planned(root, more, LEVELS["large"]) == [f"{REPLICATES * 6 * LEVELS['large']} texts to generate"]


def test_texts_of_other_weights_or_settings_are_never_used(
    grown: Grown,
) -> None:
    store, small = Store(grown[0] / "results"), grown[1]
    cache, cells = TextCache(store), grown[2].expansion.generation
    cell = next(cell for cell in cells if cell.setting.top_k == 5 and cell.level == 0)
    record = store.record(cell.parent.uid)
    assert record is not None
    digest = record.summary["checkpoint"]
    earlier = {one.uid for one in small.expansion.generation}
    assert cell.uid not in earlier
    assert len(cache.texts(cell, digest)) == 4
    assert cache.texts(cell, "0" * 64) == {}
    other = next(one for one in cells if one.setting.top_k == 3)
    assert cache.texts(other, digest) == {}
    human = next(one for one in cells if one.setting.human)
    assert cache.texts(human, digest) == {}


def test_a_damaged_source_is_told_and_not_used(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(grown[0])
    store = Store(grown[0] / "results")
    cell = next(one for one in grown[2].expansion.generation if one.setting.top_k == 5 and one.level == 1)
    source = next(one for one in grown[1].expansion.generation if one.setting.top_k == 5 and one.level == 1)
    record = store.record(cell.parent.uid)
    assert record is not None
    path = store.folder(source.uid) / "generations.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    try:
        cache = TextCache(store)
        assert cache.texts(cell, record.summary["checkpoint"]) == {}
        assert "checksum" in cache.damaged[source.uid]
        more = {**LARGE, "prompts": 7}
        lines = planned(grown[0], more, LEVELS["large"])
        assert any("texts are not taken from a damaged cell" in line and source.uid in line for line in lines)
    finally:
        path.write_bytes(whole)
