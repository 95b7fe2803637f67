"""Several results folders as one store: halves give the same report, and two results of one cell are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toolbox import LANGUAGE, TINY, tiny_grid, write_data

from harness.errors import UserError
from harness.executors.run import Runner
from harness.reporting.build import of_grids, write
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.store.merge import JoinedStore, joined
from harness.store.store import Record

GRID: dict[str, Any] = {
    "tasks": [*tiny_grid()["tasks"], *LANGUAGE["tasks"]],
    "models": [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 4}}],
    "by_task": {"text": LANGUAGE["training"]},
    "decoding": {**LANGUAGE["decoding"], "top_k": [1, 5]},
    "replicates": {"training": {"count": 2}, "inference": {"count": 2}, "repeats": 1},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home folder of one finished grid of both kinds of task."""
    root = tmp_path_factory.mktemp("whole")
    write_data(root)
    before = os.getcwd()
    os.chdir(root)
    try:
        Runner(parse_grid(tiny_grid(**GRID), "grid"), root, say=lambda _: None).run()
        yield root
    finally:
        os.chdir(before)


def report(home: Path, *more: Path) -> dict[str, bytes]:
    """Every file of the report of a home folder and further results folders."""
    write_data(home)
    os.chdir(home)
    store = joined(home / "results", more)
    expansion = expand(parse_grid(tiny_grid(**GRID), "grid"), store, None)
    files = write(of_grids([expansion], store), home, say=lambda _: None).files
    return {path.name: path.read_bytes() for path in files}


def copied(whole: Path, target: Path, part: slice = slice(None)) -> Store:
    """A results folder with some of the cells of the finished grid."""
    (target / "cells").mkdir(parents=True)
    for uid in Store(whole / "results").uids()[part]:
        shutil.copytree(whole / "results" / "cells" / uid, target / "cells" / uid)
    return Store(target)


def written(whole: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (whole / "reports" / "tiny").iterdir()}


def test_halves_of_a_store_give_the_report_of_the_whole(whole: Path, tmp_path: Path) -> None:
    """As `run` has written it; either half may be the home folder's own, and cells may be in both."""
    expected = written(whole)
    copied(whole, tmp_path / "a" / "results", slice(0, None, 2))
    copied(whole, tmp_path / "b" / "results", slice(1, None, 2))
    assert report(tmp_path / "a", tmp_path / "b" / "results") == expected
    assert report(tmp_path / "b", tmp_path / "a" / "results") == expected
    assert report(tmp_path / "a", whole / "results", tmp_path / "b" / "results") == expected
    assert report(tmp_path / "a") != expected


def test_a_report_is_the_same_again_and_from_a_copied_store_elsewhere(whole: Path, tmp_path: Path) -> None:
    copied(whole, tmp_path / "far" / "away" / "results")
    assert report(whole) == report(whole) == report(tmp_path / "far" / "away") == written(whole)


def test_a_folder_that_is_no_store_is_refused_and_one_given_twice_counts_once(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--store .*nowhere: no results folder: it has no folder 'cells'$"):
        joined(tmp_path, [tmp_path / "nowhere"])
    with pytest.raises(UserError, match=rf"did you mean {whole / 'results'}\?"):
        joined(tmp_path, [whole])
    results = whole / "results"
    assert type(joined(results, [results, Path(os.path.relpath(results, tmp_path))])) is Store


def changed(store: Store, uid: str, name: str, frame: pd.DataFrame, **fields: Any) -> None:
    """Stores a cell anew with another table."""
    record = store.record(uid)
    assert record is not None
    tables = [file.removesuffix(".parquet") for file in record.checksums if file.endswith(".parquet")]
    frames = {**{table: store.frame(uid, table) for table in tables}, name: frame}
    store.save(replace(record, **fields), frames=frames)


def first_of(store: Store, kind: str) -> Record:
    return next(record for record in store.records() if record.kind == kind)


def test_a_number_that_differs_in_its_last_bit_is_refused(whole: Path, tmp_path: Path) -> None:
    other = copied(whole, tmp_path / "other")
    uid = first_of(other, "training").uid
    metrics = other.frame(uid, "metrics")
    was = metrics.loc[3, "value"]
    metrics.loc[3, "value"] = np.nextafter(was, 1e9)
    changed(other, uid, "metrics", metrics)
    store = joined(whole / "results", [other.root])
    with pytest.raises(UserError) as refusal:
        store.record(uid)
    line = str(refusal.value)
    for part in (f"cell {uid}", str(whole / "results"), str(other.root), "metrics", repr(float(was))):
        assert part in line
    assert "their environments are the same; use one of the two folders" in line
    with pytest.raises(UserError, match="has other results"):
        report(whole, other.root)


def test_other_environments_are_named_where_numbers_differ(whole: Path, tmp_path: Path) -> None:
    other = copied(whole, tmp_path / "other")
    record = first_of(other, "generation")
    texts = other.frame(record.uid, "generations")
    texts.loc[1, "text"] += "!"
    versions = {**record.versions, "torch": "9.9"}
    changed(other, record.uid, "generations", texts, environment="another", versions=versions)
    with pytest.raises(UserError, match=r"prompt 1 \(text .*their environments differ \(torch: 9\.9 -> "):
        joined(whole / "results", [other.root]).frame(record.uid, "generations")


def test_equal_results_of_other_environments_are_one(whole: Path, tmp_path: Path) -> None:
    """Whichever folder comes first, the same record is taken."""
    other = copied(whole, tmp_path / "other")
    record = first_of(other, "training")
    changed(other, record.uid, "metrics", other.frame(record.uid, "metrics"), environment="0", seconds=99.0)
    for stores in ([Store(whole / "results"), other], [other, Store(whole / "results")]):
        taken = JoinedStore(stores).record(record.uid)
        assert taken is not None
        assert taken.environment == "0"


def test_a_result_comes_before_an_error(whole: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    record = first_of(Store(whole / "results"), "training")
    other.save(replace(record, status="error", reason="killed", checksums={}))
    for stores in ([Store(whole / "results"), other], [other, Store(whole / "results")]):
        assert JoinedStore(stores).status(record.uid) == "done"
    other.save(replace(record, status="diverged", reason="loss is nan", checksums={}))
    with pytest.raises(UserError, match=r"status \(done != diverged: loss is nan\)"):
        JoinedStore([Store(whole / "results"), other]).status(record.uid)


def test_a_checkpoint_that_only_one_store_has_kept_is_no_difference(whole: Path, tmp_path: Path) -> None:
    other = copied(whole, tmp_path / "other")
    record = first_of(other, "training")
    changed(other, record.uid, "metrics", other.frame(record.uid, "metrics"))  # saved without its checkpoint
    assert not any("safetensors" in file for file in (other.record(record.uid) or record).checksums)
    assert any("safetensors" in file for file in record.checksums)
    assert joined(whole / "results", [other.root]).status(record.uid) == "done"
    weights = {**record.summary, "checkpoint": "0" * 64}
    changed(other, record.uid, "metrics", other.frame(record.uid, "metrics"), summary=weights)
    with pytest.raises(UserError, match="digest of the weights"):
        joined(whole / "results", [other.root]).status(record.uid)


def test_environments_stand_once_and_without_the_machine_time(whole: Path) -> None:
    os.chdir(whole)
    store = Store(whole / "results")
    subject = of_grids([expand(parse_grid(tiny_grid(**GRID), "grid"), store, None)], store)
    assert subject.own_runs
    assert subject.resolve == {}
    assert len(subject.environments) == 1
    assert {"torch", "processor", "threads"} <= set(subject.environments[0])


def test_two_grids_give_the_report_of_the_grid_of_both(whole: Path, tmp_path: Path) -> None:
    """But for the name and what says that they were merged; the cells are those of the finished grid."""
    os.chdir(whole)
    store = Store(whole / "results")
    parts = {"one": {"none": {}}, "two": {"standard-0.1": {"all": 0.1}}}
    repeats = {"one": 0, "two": 1}  # the noise floor is that of the first arm with dropout
    grids = [
        tiny_grid(
            **{**GRID, "name": name, "regimes": regimes, "replicates": {**GRID["replicates"], "repeats": repeats[name]}}
        )
        for name, regimes in parts.items()
    ]
    subject = of_grids([expand(parse_grid(grid, "grid"), store, None) for grid in grids], store)
    built = write(subject, tmp_path, say=lambda _: None)
    assert {path.parent for path in built.files} == {tmp_path / "reports" / "one+two"}
    expected = written(whole)
    for path in built.files:
        if path.suffix == ".csv":
            assert path.read_bytes() == expected[path.name], path.name
    assert "merged from the grids one, two" in (tmp_path / "reports" / "one+two" / "generalization.md").read_text()
    assert (tmp_path / "results" / "one+two" / "tables" / "training.parquet").is_file()


@pytest.mark.parametrize("name", ["cells", "../x", "a b", ".x", "x" * 81])
def test_a_name_that_is_no_folder_is_refused(whole: Path, name: str) -> None:
    os.chdir(whole)
    store = Store(whole / "results")
    subject = of_grids([expand(parse_grid(tiny_grid(**GRID), "grid"), store, None)], store)
    with pytest.raises(UserError, match="cannot name a folder of results and reports"):
        write(subject, whole, name)
