"""Whole grids through real worker processes: equal results whatever the number of workers, nothing lost, no orphans."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from toolbox import LANGUAGE, TINY, tiny_grid, write_data

from harness.errors import UserError
from harness.executors.jobs import Event, plan_jobs
from harness.executors.local import LocalPool
from harness.executors.run import Outcome, Runner, only_run, parse_filters
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.store.tables import TABLES, VOLATILE

BOTH: dict[str, Any] = {
    "tasks": [*tiny_grid()["tasks"], *LANGUAGE["tasks"]],
    "models": [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 4}}],
    "by_task": {"text": LANGUAGE["training"]},
    "decoding": LANGUAGE["decoding"],
}


def run(grid: dict[str, Any], root: Path, **options: Any) -> Outcome:
    options.setdefault("say", lambda _: None)
    return Runner(parse_grid(grid, "grid"), root, **options).run()


def comparable(root: Path, name: str = "tiny") -> dict[str, pd.DataFrame]:
    folder = root / "results" / name / "tables"
    tables = {table: pd.read_parquet(folder / f"{table}.parquet") for table in TABLES}
    return {**tables, "cells": tables["cells"].drop(columns=list(VOLATILE))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Outcome]]:
    """One finished grid of both kinds of task, run by one worker."""
    root = tmp_path_factory.mktemp("finished")
    write_data(root)
    before = os.getcwd()
    os.chdir(root)
    try:
        yield root, run(tiny_grid(**BOTH), root, jobs=1)
    finally:
        os.chdir(before)


def test_a_grid_is_computed_mirrored_and_reported(finished: tuple[Path, Outcome]) -> None:
    root, outcome = finished
    assert outcome.failed == []
    assert outcome.tracking == ""
    assert outcome.counts == {"done": 2 + 8 + 4 * 6}
    tables = comparable(root)
    assert set(tables["training"]["split"]) == {"train", "validation", "test"}
    assert set(tables["training"]["task"]) == {"csv", "text"}
    assert len(tables["generations"]) == 4 * 6 * 6  # greedy and human once, two settings at two levels; six prompts
    assert set(tables["rates"]["site"]) == {"embedding", "attention", "sublayer", "identity", "head"}
    reports = {path.name for path in outcome.report}
    assert {"generalization.csv", "generalization.md", "generalization.tex", "generation.csv", "cells.csv"} <= reports
    assert {"generalization_gap.svg", "diversity_by_k.png"} <= reports


def test_two_workers_in_another_directory_give_identical_tables(
    finished: tuple[Path, Outcome], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(home)
    run(tiny_grid(**BOTH), home, jobs=2)
    one, two = comparable(finished[0]), comparable(home)
    for name in TABLES:
        pd.testing.assert_frame_equal(one[name], two[name], check_exact=True)
    for path in (finished[0] / "reports" / "tiny").iterdir():
        assert path.read_bytes() == (home / "reports" / "tiny" / path.name).read_bytes(), path.name


def test_a_second_run_computes_nothing(finished: tuple[Path, Outcome]) -> None:
    root, _ = finished
    os.chdir(root)
    events: list[Event] = []
    before = comparable(root)
    outcome = run(tiny_grid(**BOTH), root, listen=events.append)
    assert events == []
    assert outcome.counts == {"done": 34}
    for name, table in comparable(root).items():
        pd.testing.assert_frame_equal(before[name], table, check_exact=True)


def test_one_more_k_and_replicate_computes_only_their_rows(finished: tuple[Path, Outcome], home: Path) -> None:
    root, _ = finished
    os.chdir(root)
    decoding = {**LANGUAGE["decoding"], "top_k": [1, 5, 9, "all"]}
    grid = tiny_grid(
        **{**BOTH, "decoding": decoding},
        name="wider",
        replicates={"training": {"count": 2}, "inference": {"count": 3}, "repeats": 0},
    )
    store = Store(root / "results")
    jobs = plan_jobs(expand(parse_grid(grid, "g"), store, None), store)
    assert all(not job.train for job in jobs)
    assert sum(len(job.generation) for job in jobs) == 4 * (3 + 1 + 1)
    run(grid, root)
    old, new = comparable(root), comparable(root, "wider")
    shared = new["generations"][new["generations"]["uid"].isin(old["generations"]["uid"])]
    one, two = (table.sort_values(["uid", "prompt"], ignore_index=True) for table in (old["generations"], shared))
    assert len(one) == 4 * 6 * 6
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    # A grid run in one go, elsewhere, has the very same texts.
    write_data(home)
    os.chdir(home)
    run(grid, home, jobs=2)
    pd.testing.assert_frame_equal(new["generations"], comparable(home, "wider")["generations"], check_exact=True)


def test_greedy_has_no_decode_variance_and_stands_once(finished: tuple[Path, Outcome]) -> None:
    texts = comparable(finished[0])["generations"].query("top_k == '1'")
    assert set(texts["inference_replicate"]) == {0}
    assert texts["sampling_logprobs"].map(lambda values: set(values) <= {0.0}).all()


def test_a_failing_cell_costs_only_itself(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    """A regime whose learning rate makes the loss explode, beside one that trains."""
    grid = tiny(training={**tiny()["training"], "learning_rate": [1e30], "clip": 0, "warmup": 0})
    grid["by_task"] = {}
    outcome = run(grid, home, jobs=2)
    assert outcome.counts == {"diverged": 4}
    assert outcome.failed == []  # diverged is a result
    events: list[Event] = []
    run(grid, home, listen=events.append)
    assert events == []  # and it is kept


def test_a_killed_worker_costs_its_cell_and_the_next_run_heals_it(
    tiny: Callable[..., dict[str, Any]], home: Path
) -> None:
    killed: list[str] = []

    def kill(event: Event) -> None:
        workers = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
        if event.status == "running" and not killed and workers:
            killed.append(event.uid)
            os.kill(workers[0].pid, signal.SIGKILL)

    grid = tiny(training={**tiny()["training"], "steps": 400, "evaluate_every": 400})
    outcome = run(grid, home, listen=kill, jobs=1)
    assert killed
    assert outcome.counts == {"done": 3, "error": 1}
    assert "signal 9" in outcome.failed[0][1]
    events: list[Event] = []
    healed = run(grid, home, listen=events.append)
    assert healed.counts == {"done": 4}
    assert {event.uid for event in events} == {killed[0]}


def test_no_worker_outlives_the_run(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    run(tiny(), home, jobs=2)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        left = [p for p in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(p.cmdline())]
        if not left:
            break
        time.sleep(0.1)
    assert left == []


def test_a_selected_learning_rate_runs_in_two_rounds(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    grid = tiny(training={**tiny()["training"], "learning_rate": [1e-6, 1e-2], "steps": 30}, regimes={"none": {}})
    outcome = run(grid, home, jobs=2)
    assert outcome.counts == {"done": 2 + 2}
    tables = comparable(home)
    assert set(tables["training"]["learning_rate"]) == {1e-2}
    assert set(tables["selection"]["learning_rate"]) == {1e-6, 1e-2}
    assert not set(tables["selection"]["uid"]) & set(tables["training"]["uid"])


def test_only_runs_what_matches(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    outcome = run(tiny(), home, only=["regime=none"])
    assert outcome.counts == {"done": 2, "missing": 2}
    grid = parse_grid(tiny(), "grid")
    with pytest.raises(UserError, match="--only 'regme=x': write key=pattern, did you mean 'regime'"):
        parse_filters(["regme=x"], grid)
    with pytest.raises(UserError, match="no such regime in the grid, did you mean 'none'"):
        parse_filters(["regime=nonne"], grid)
    assert parse_filters(["regime=none", "regime=st*"], grid) == {"regime": ["none", "st*"]}


def test_checkpoints_that_are_not_kept_are_trained_again_to_the_same_texts(
    tiny: Callable[..., dict[str, Any]], home: Path
) -> None:
    grid = tiny(
        **{**LANGUAGE, "regimes": {"standard-0.1": {"all": 0.1}}}, keep="none", replicates={"training": {"count": 1}}
    )
    run(grid, home)
    store = Store(home / "results")
    assert not list(store.cells.glob("*/checkpoint"))
    before = comparable(home)["generations"]
    grid["decoding"] = {**grid["decoding"], "top_k": [1, 5, 7, "all"]}
    outcome = run(grid, home)
    assert outcome.failed == []
    after = comparable(home)["generations"]
    kept = after[after["uid"].isin(before["uid"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, kept, check_exact=True)


def test_all_checkpoints_are_kept_where_wanted(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    run(tiny(keep="all", regimes={"none": {}}), home)
    folders = {path.name for path in (home / "results" / "cells").glob("*/checkpoint*")}
    assert folders == {"checkpoint", "checkpoint-last"}


def test_two_runs_at_once_are_refused(home: Path) -> None:
    lock = partial(only_run, home / "results")
    with lock(), pytest.raises(UserError, match="another `twodice run` is working"), lock():
        pass
    with lock():
        pass


def test_a_tracking_server_that_is_down_costs_nothing(
    tiny: Callable[..., dict[str, Any]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    lines: list[str] = []
    outcome = run(tiny(regimes={"none": {}}), home, say=lines.append)
    assert outcome.counts == {"done": 2}
    assert outcome.tracking
    assert "secret" not in " ".join(lines) + outcome.tracking


def test_conditional_generation_end_to_end(home: Path) -> None:
    """The e2e layout with invented rows: meaning in, sentence out, references grouped by source."""
    folder = home / "data" / "e2e"
    folder.mkdir(parents=True)
    for file, start in (("trainset.csv", 0), ("devset.csv", 60), ("testset_w_refs.csv", 90)):
        rows = [
            f'"shape[box], size[{i}]","a box of size {i}{tail}"'
            for i in range(start, start + 30)
            for tail in ("", " here")
        ]
        (folder / file).write_text("\n".join(["mr,ref", *rows]) + "\n")
    models = [{"scratch:gpt2-tiny": {**TINY, "positions": 80, "pretrain_steps": 3}}]
    training = {"steps": 5, "batch_size": 8, "micro_batch_size": 3, "learning_rate": 0.003, "max_length": 60}
    grid = tiny_grid(tasks=["e2e"], models=models, training=training)
    grid["decoding"] = {"top_k": [1, 5], "max_new_tokens": 10, "prompts": 7}
    outcome = run(grid, home, data=home / "data", jobs=2)
    assert outcome.failed == []
    tables = comparable(home)
    assert set(tables["training"]["metric"]) == {"loss", "perplexity", "bits-per-character"}
    texts = tables["generations"]
    assert texts["prompt"].nunique() == 7
    assert texts["prompt_text"].str.contains("shape[box]", regex=False).all()
    too_long = {**grid, "decoding": {**grid["decoding"], "max_new_tokens": 70}}
    with pytest.raises(UserError, match=r"prompt tokens \+ 70 new tokens exceed the model's 80 positions"):
        run(too_long, home, data=home / "data")
    with pytest.raises(UserError, match=r"max_length: split 'train': \d+ of \d+ rows are longer than max_length 40"):
        run({**grid, "training": {**training, "max_length": 40}}, home, data=home / "data")


def test_an_arm_whose_every_learning_rate_diverged_is_a_result(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    training = {**tiny()["training"], "learning_rate": [1e30, 1e31], "clip": 0, "warmup": 0}
    outcome = run(tiny(training=training, regimes={"none": {}}), home)
    assert outcome.failed == []
    assert outcome.counts == {"diverged": 2 + 1}
    arm = outcome.built["generalization"]
    assert arm["regime"].tolist() == ["none"]
    assert (arm["n"].tolist(), arm["diverged"].tolist()) == ([0], [1])


def test_a_diverged_base_skips_its_cells(
    tiny: Callable[..., dict[str, Any]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.store import Record

    models = [{"scratch:bert-tiny": {**TINY, "pretrain_steps": 2}}]
    grid = tiny(models=models, regimes={"none": {}})
    store = Store(home / "results")
    base = expand(parse_grid(grid, "g"), store, None).bases[0]
    store.save(Record(base.uid, "base", "diverged", base.identity, "the loss is nan at step 1"))
    events: list[Event] = []
    outcome = run(grid, home, listen=events.append)
    assert events == []
    assert outcome.counts == {"diverged": 1, "skipped": 2}
    assert set(outcome.tables["cells"].query("kind == 'training'")["reason"]) == {"its base diverged"}


def test_an_idle_worker_that_dies_is_replaced(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    """A long and a short job on two workers; when the short one has ended its worker is killed."""
    store = Store(home / "results")
    jobs = []
    for steps in (900, 6):
        grid = tiny(training={**tiny()["training"], "steps": steps, "select": "last"}, regimes={"none": {}})
        jobs += plan_jobs(expand(parse_grid(grid, "g"), store, None), store)[:1]
    killed: list[int] = []
    events: list[Event] = []
    with LocalPool(home / "results", 2, "best", home / "logs") as pool:

        def kill(event: Event) -> None:
            events.append(event)
            idle = [slot for slot in pool.slots if slot.ready and slot.job is None]
            if event.status == "running" and event.uid == jobs[0].cell.uid and idle and not killed:
                killed.append(idle[0].process.pid or 0)
                os.kill(killed[0], signal.SIGKILL)

        pool.run(jobs, kill, lambda job: None)
    assert killed
    assert [event.status for event in events if event.status != "running"] == ["done", "done"]


def test_a_full_disk_is_told_and_the_grid_goes_on(home: Path, tiny: Callable[..., dict[str, Any]]) -> None:
    """Not even the error can be stored: the cell is reported as failed, in one line, and nothing is raised."""
    from harness.executors.jobs import Job, save_error

    store = Store(home / "results")
    cell = expand(parse_grid(tiny(), "g"), store, None).training[0]

    class Full(Store):
        def save(self, *_: object, **__: object) -> Path:
            raise OSError(28, "No space left on device")

    reason = save_error(Full(home / "results"), Job(cell).cell, "it broke", "")
    assert "it broke (and the store could not take it" in reason
    assert store.status(cell.uid) == "missing"


def test_two_arms_that_are_one_cell_have_a_run_each(home: Path, tiny: Callable[..., dict[str, Any]]) -> None:
    from mlflow import MlflowClient

    regimes = {"all": {"all": 0.1}, "with-head": {"all": 0.1, "head": 0.3}}  # a language model has no head
    one = {"training": {"count": 1}, "inference": {"count": 1}, "repeats": 0}
    run(tiny(**{**LANGUAGE, "regimes": regimes, "replicates": one}), home)
    client = MlflowClient(f"sqlite:///{home / 'results' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("twodice")
    runs = client.search_runs([experiment.experiment_id], "tags.`twodice.kind` = 'training'")
    assert sorted(found.data.params["regime"] for found in runs) == ["all", "with-head"]
    everything = client.search_runs([experiment.experiment_id])
    assert {found.info.status for found in everything} == {"FINISHED"}
