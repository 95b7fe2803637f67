import dataclasses
import math
import subprocess
import sys

import pytest

from harness.tracking.batches import TrackingError, clean
from harness.tracking.client import new_client
from harness.tracking.mirror import Mirror, local_uri
from harness.tracking.view import CellView, DatasetView, SettingView

EXPERIMENT = "twodice"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One local store for all tests: making its tables takes seconds. Each test has a grid name of its own."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def mirror(results):
    with Mirror(local_uri(results), results / "mlartifacts", EXPERIMENT) as opened:
        yield opened
    assert opened.failed == ""


@pytest.fixture
def client(results):
    return new_client(local_uri(results))


def setting(name="k=5 T=1.0", **changes):
    return SettingView(name, {"top_k": "5"}, {"distinct-2": 0.5}, n=12, **changes)


def cell(uid="a" * 20, **changes):
    view = CellView(
        uid=uid,
        name="sst2 bert none r0",
        status="done",
        params={"regime": "none", "dropout.sublayer": 0.1, "seed.init": 0, "bucketing": True, "cap": None},
        tags={"git": "abc"},
        dataset=DatasetView("sst2", "d" * 32, "hub:glue/sst2"),
        metrics={"test.accuracy": 0.83, "test.loss": 0.4},
        history=[("train.loss", step, 1.0 / (step + 1)) for step in range(5)],
        rates=[("sublayer", 0, 0.3), ("sublayer", 4, 0.0)],
        settings=[setting(), setting("k=all T=1.0")],
    )
    return dataclasses.replace(view, **changes)


def runs(client, grid):
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    found = [run for run in client.search_runs([experiment]) if run.info.run_name == grid]
    assert len(found) == 1
    return found[0], client.search_runs([experiment], f"tags.`twodice.grid_run` = '{found[0].info.run_id}'")


def children(found, parent):
    return [run for run in found if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]


def history(client, run, name):
    return sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name))


def interrupted(mirror, error):
    """What an exception in the middle of a cell leaves behind."""
    view = cell()
    with mirror._run(view, "", view.name, "", {"mlflow.parentRunId": mirror._grid}, "FINISHED"):
        raise error


def test_the_tree(mirror, client, tmp_path):
    (tmp_path / "generalization.csv").write_text("n\n3\n")
    (tmp_path / "training.parquet").write_bytes(b"PAR1")
    mirror.open_grid("tree", {"epochs": 3}, {"git": "abc"}, seed=7)
    mirror.log_cell(cell())
    mirror.log_cell(cell("b" * 20, status="error", reason="ran out of luck", metrics={}, settings=()))
    mirror.log_cell(cell("c" * 20, status="diverged", settings=()))
    mirror.close_grid([tmp_path / "generalization.csv", tmp_path / "training.parquet"])
    grid, below = runs(client, "tree")
    trained = {run.data.tags["twodice.uid"][0]: run for run in children(below, grid)}
    assert {key: run.info.status for key, run in trained.items()} == {"a": "FINISHED", "b": "FAILED", "c": "FINISHED"}
    assert trained["c"].data.tags["twodice.status"] == "diverged"
    assert trained["b"].data.tags["twodice.reason"] == "ran out of luck"
    decoded = children(below, trained["a"])
    assert {run.data.tags["twodice.setting"] for run in decoded} == {"k=5 T=1.0", "k=all T=1.0"}
    assert all(run.data.metrics == {"distinct-2": 0.5, "n_texts": 12.0} for run in decoded)
    assert all(run.data.params["regime"] == "none" and run.data.params["top_k"] == "5" for run in decoded)
    assert grid.info.status == "FINISHED"
    assert grid.data.params == {"grid": "tree", "seed": "7", "epochs": "3"}
    assert [item.path for item in client.list_artifacts(grid.info.run_id, "report")] == ["report/generalization.csv"]
    assert [item.path for item in client.list_artifacts(grid.info.run_id, "tables")] == ["tables/training.parquet"]
    assert not [run for run in [grid, *below] if run.info.status == "RUNNING"]


def test_what_a_cell_run_holds(mirror, client):
    mirror.open_grid("content", {}, {}, seed=0)
    mirror.log_cell(cell(settings=()))
    run = children(runs(client, "content")[1], runs(client, "content")[0])[0]
    assert run.data.params["dropout.sublayer"] == "0.1"
    assert (run.data.params["bucketing"], run.data.params["cap"]) == ("true", "")
    assert run.data.metrics["test.accuracy"] == 0.83
    assert history(client, run, "history.train.loss") == [(step, 1.0 / (step + 1)) for step in range(5)]
    assert history(client, run, "rate.sublayer") == [(0, 0.3), (4, 0.0)]
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("sst2", "d" * 32)
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]
    assert (run.data.tags["git"], run.data.tags["mlflow.runName"]) == ("abc", "sst2 bert none r0")


def test_more_than_one_batch(mirror, client):
    """MLflow takes at most 1,000 metrics, 100 parameters and 100 tags a call."""
    params = {f"p{i}": i for i in range(250)}
    curve = [("train.loss", step, float(step)) for step in range(2345)]
    mirror.open_grid("batches", {}, {}, seed=0)
    mirror.log_cell(cell(params=params, history=curve, tags={f"t{i}": "x" for i in range(130)}, settings=()))
    run = children(runs(client, "batches")[1], runs(client, "batches")[0])[0]
    assert run.data.params == {name: str(value) for name, value in params.items()}
    assert history(client, run, "history.train.loss") == [(step, value) for _, step, value in curve]
    assert sum(tag.startswith("t") and tag[1:].isdigit() for tag in run.data.tags) == 130


def test_values_that_are_not_finite_are_named_not_faked(mirror, client):
    curve = [("train.loss", 0, 1.0), ("train.loss", 1, math.inf), ("train.loss", 2, math.nan)]
    mirror.open_grid("infinite", {}, {}, seed=0)
    mirror.log_cell(cell(history=curve, metrics={"test.loss": math.nan, "test.accuracy": 0.5}, settings=()))
    run = children(runs(client, "infinite")[1], runs(client, "infinite")[0])[0]
    assert history(client, run, "history.train.loss") == [(0, 1.0)]
    assert "test.loss" not in run.data.metrics
    assert run.data.tags["twodice.not_finite"] == "test.loss x1, history.train.loss x2"


def test_logging_twice_changes_nothing(mirror, client, results):
    mirror.open_grid("twice", {}, {}, seed=0)
    mirror.log_cell(cell())
    mirror.log_cell(cell())
    mirror.close_grid()
    first = {run.info.run_id for run in runs(client, "twice")[1]}
    with Mirror(local_uri(results), results / "mlartifacts", EXPERIMENT) as again:
        again.open_grid("twice", {}, {}, seed=0)
        again.log_cell(cell(tags={"git": "another"}))
        again.close_grid()
    grid, below = runs(client, "twice")
    assert {run.info.run_id for run in below} == first
    assert len(first) == 3
    assert grid.info.status == "FINISHED"


def test_another_seed_is_another_grid(mirror, client):
    mirror.open_grid("seeded", {}, {}, seed=0)
    first = mirror._grid
    mirror.close_grid()
    mirror.open_grid("seeded", {}, {}, seed=1)
    assert mirror._grid != first


def test_more_settings_are_added_and_changed_ones_replaced(mirror, client):
    mirror.open_grid("grown", {}, {}, seed=0)
    mirror.log_cell(cell())
    before = {run.data.tags.get("twodice.setting", ""): run.info.run_id for run in runs(client, "grown")[1]}
    mirror.log_cell(
        cell(settings=[setting(), dataclasses.replace(setting("k=all T=1.0"), n=24), setting("k=40 T=1.0")])
    )
    found = runs(client, "grown")[1]
    after = {run.data.tags.get("twodice.setting", ""): run.info.run_id for run in found}
    assert set(after) == {"", "k=5 T=1.0", "k=all T=1.0", "k=40 T=1.0"}
    assert len(found) == 4
    assert {name for name in before if before[name] != after[name]} == {"k=all T=1.0"}


def test_a_retried_error_is_replaced(mirror, client):
    mirror.open_grid("retried", {}, {}, seed=0)
    mirror.log_cell(cell(status="error", reason="disk full", metrics={}, settings=()))
    mirror.log_cell(cell())
    grid, below = runs(client, "retried")
    assert [run.info.status for run in children(below, grid)] == ["FINISHED"]


def test_a_changed_grid_parameter_is_told(mirror, client):
    mirror.open_grid("changed", {"replicates": 3}, {}, seed=0)
    mirror.close_grid()
    mirror.open_grid("changed", {"replicates": 8, "new": True}, {}, seed=0)
    mirror.close_grid()
    grid, _ = runs(client, "changed")
    assert grid.data.params["replicates"] == "3"
    assert grid.data.params["new"] == "true"
    assert grid.data.tags["twodice.now.replicates"] == "8"


def test_runs_of_a_killed_process_are_closed_and_replaced(mirror, client, results):
    killed = Mirror(local_uri(results), results / "mlartifacts", EXPERIMENT)
    killed.open_grid("killed", {}, {}, seed=0)
    with pytest.raises(RuntimeError, match="kill -9"):
        interrupted(killed, RuntimeError("kill -9"))
    assert [run.info.status for run in runs(client, "killed")[1]] == ["RUNNING"]
    mirror.open_grid("killed", {}, {}, seed=0)
    assert [run.info.status for run in runs(client, "killed")[1]] == ["KILLED"]
    mirror.log_cell(cell(settings=()))
    mirror.close_grid()
    grid, below = runs(client, "killed")
    assert [run.info.status for run in [grid, *below]] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_no_run_is_left_running_after_an_exception(client, results, error):
    name = f"left-{error.__name__}"
    with Mirror(local_uri(results), results / "mlartifacts", EXPERIMENT) as mirror:
        mirror.open_grid(name, {}, {}, seed=0)
        with pytest.raises(error):
            interrupted(mirror, error())
        assert {run.info.status for run in runs(client, name)[1]} == {"RUNNING"}
    grid, below = runs(client, name)
    assert [run.info.status for run in [grid, *below]] == ["KILLED", "KILLED"]


def test_a_failure_in_the_middle_is_told_once_and_leaves_nothing_running(client, results):
    said = []
    with Mirror(local_uri(results), results / "mlartifacts", EXPERIMENT, said.append) as mirror:
        mirror.open_grid("middle", {}, {}, seed=0)
        mirror.log_cell(cell(metrics={"a=b": 1.0, "a_b": 2.0}))
        mirror.log_cell(cell("b" * 20))
        mirror.close_grid()
    assert len(said) == 1
    assert "two names become 'a_b'" in mirror.failed
    grid, below = runs(client, "middle")
    assert {run.info.status for run in [grid, *below]} == {"KILLED"}


def test_an_error_of_our_own_is_not_taken_for_the_servers(mirror):
    mirror.open_grid("own", {}, {}, seed=0)
    with pytest.raises(TypeError):
        mirror.log_cell(cell(metrics={"test.loss": "high"}))
    assert mirror.failed == ""


@pytest.mark.parametrize("uri", ["http://user:hunter2@127.0.0.1:9", "sqlite:///{file}/below/mlflow.db"])
def test_a_store_that_is_not_there_never_costs_the_grid(tmp_path, monkeypatch, uri, capsys):
    for name, value in (("MAX_RETRIES", "1"), ("BACKOFF_FACTOR", "0"), ("TIMEOUT", "2")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    (tmp_path / "file").write_text("")
    with Mirror(uri.format(file=tmp_path / "file"), tmp_path, EXPERIMENT) as mirror:
        mirror.open_grid("down", {}, {}, seed=0)
        mirror.log_cell(cell())
        mirror.close_grid()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "the grid goes on" in lines[0]
    assert mirror.failed
    assert "hunter2" not in lines[0] + mirror.failed


def test_names_that_mlflow_would_refuse_are_cleaned():
    assert clean(["k=5", "test.accuracy", "a/b c-d"]) == {
        "k=5": "k_5",
        "test.accuracy": "test.accuracy",
        "a/b c-d": "a/b c-d",
    }
    with pytest.raises(TrackingError):
        clean(["k=5", "k_5"])


def test_the_view_needs_neither_torch_nor_mlflow():
    code = "import sys; import harness.tracking.mirror, harness.tracking.view, harness.tracking.server; "
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'mlflow', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
