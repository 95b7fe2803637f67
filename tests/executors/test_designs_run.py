"""A crossed grid with texts, from the file to the report: merged cells, repeats, roles and the noise floor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from toolbox import LANGUAGE, tiny_grid, write_data

from harness.executors.run import Outcome, Runner
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.store.tables import build_tables

DESIGN = {"design": "crossed", "roles": {"init": 2, "mask": 2}}
DECODING = {**LANGUAGE["decoding"], "top_k": [1, 5], "prompts": 4}


def crossed() -> dict[str, Any]:
    return tiny_grid(
        **{**LANGUAGE, "decoding": DECODING},
        name="crossed",
        replicates={"training": DESIGN, "inference": {"count": 2}, "repeats": 1},
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("crossed")
    write_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, Runner(parse_grid(crossed(), "g"), folder, jobs=2, say=lambda _: None).run()


def test_cells_that_are_one_by_construction_run_once(finished: tuple[Path, Outcome]) -> None:
    tables = finished[1].tables
    assert finished[1].failed == []
    assert set(tables["training"]["design"]) == {"crossed"}
    runs = tables["training"].groupby("regime")["uid"].nunique().to_dict()
    assert runs == {"none": 2, "standard-0.1": 4 + 1}
    named = tables["training"].query("repeat == 0").groupby("regime")["training_replicate"].nunique().to_dict()
    assert named == {"none": 4, "standard-0.1": 4}


def test_a_cell_s_rates_stand_once_whatever_its_names(finished: tuple[Path, Outcome]) -> None:
    tables = finished[1].tables
    assert not tables["rates"].duplicated(["uid", "site", "step"]).any()
    assert not tables["history"].duplicated(["uid", "step", "metric"]).any()


def test_the_report_counts_runs_and_names_the_factors(finished: tuple[Path, Outcome]) -> None:
    table = finished[1].built["generalization"].query("split == 'test' and metric == 'loss'").set_index("regime")
    assert table["n"].to_dict() == {"none": 2, "standard-0.1": 4}
    assert table["design"].to_dict() == {"none": "crossed init 2", "standard-0.1": "crossed init 2 x mask 2"}
    texts = finished[1].built["generation"].query("metric == 'distinct-2' and top_k == '5'").set_index("regime")
    assert texts["n_training"].to_dict() == {"none": 2, "standard-0.1": 4}
    assert table.loc["standard-0.1", "n_pairs"] == 4


def test_repeats_are_equal_to_the_last_bit_and_stand_in_the_noise_floor_only(finished: tuple[Path, Outcome]) -> None:
    floor = finished[1].built["noise_floor"]
    assert set(floor["regime"]) == {"standard-0.1"}
    assert set(floor.loc[floor["split"] != "generated", "largest_difference"]) == {0.0}
    texts = floor[floor["split"] == "generated"].iloc[0]
    assert (texts["texts"], texts["differing_texts"]) == (4 * (1 + 2), 0.0)
    repeats = finished[1].tables["training"].query("repeat == 1")["uid"]
    assert not set(repeats) & set(finished[1].tables["generations"]["training_uid"])


def test_a_repeat_with_other_texts_is_seen(finished: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = finished
    monkeypatch.chdir(folder)
    expansion, store = expand(parse_grid(crossed(), "g"), Store(folder / "results"), None), Store(folder / "results")
    repeat = next(cell.uid for cell in expansion.generation if cell.parent.repeat)
    read: Callable[[str, str], pd.DataFrame] = store.frame

    def changed(uid: str, name: str) -> pd.DataFrame:
        frame = read(uid, name)
        if uid == repeat and name == "generations":
            frame = frame.copy()
            frame.at[0, "token_ids"] = [*frame.at[0, "token_ids"][:-1], -1]
        return frame

    monkeypatch.setattr(store, "frame", changed)
    texts = build_tables(expansion, store)["repeated_texts"]
    assert texts["differing"].sum() == 1


def test_every_form_of_the_new_tables_is_written(finished: tuple[Path, Outcome]) -> None:
    folder = finished[0] / "reports" / "crossed"
    roles, floor = ((folder / f"{name}.md").read_text() for name in ("roles", "noise_floor"))
    assert "init x mask" in roles
    assert "zero by construction" in roles
    assert "totals overlap" in roles
    assert "texts that differ" in floor
    text = (folder / "generalization.md").read_text()
    assert "crossed design" in text
    assert "Roles and their levels, by arm: init 2; init 2 x mask 2." in text
    assert "Student" not in text
