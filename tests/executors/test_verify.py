"""Stored grids computed again by real workers: equal in every bit, or the first difference by name; nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file, save_file
from toolbox import LANGUAGE, TINY, tiny_grid, write_data

from harness.errors import UserError
from harness.executors.choose import draw
from harness.executors.run import Runner, only_run
from harness.executors.verify import Verifier, answer, last_line
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.store import Record, Store
from harness.store.compare import Verdict
from harness.store.store import checksums

GRID: dict[str, Any] = {
    **LANGUAGE,
    "models": [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 4}}],
    "regimes": {"standard-0.1": {"all": 0.1}},
}


def run(grid: dict[str, Any], root: Path) -> None:
    assert Runner(parse_grid(grid, "grid"), root, say=lambda _: None).run().failed == []


def verify(grid: dict[str, Any], root: Path, **options: Any) -> tuple[list[Verdict], list[str]]:
    said: list[str] = []
    verdicts = Verifier(parse_grid(grid, "grid"), root, say=said.append, **options).verify()
    assert list((root / "results" / "work").iterdir()) == []
    return verdicts, said


def expansion(grid: dict[str, Any], root: Path) -> Expansion:
    return expand(parse_grid(grid, "grid"), Store(root / "results"), None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished language grid: one base, two training cells, five generation cells each."""
    root = tmp_path_factory.mktemp("finished")
    write_data(root)
    before = os.getcwd()
    os.chdir(root)
    try:
        run(tiny_grid(**GRID), root)
        yield root
    finally:
        os.chdir(before)


@pytest.fixture
def copy(finished: Path, home: Path) -> Path:
    """The finished grid in a home of the test's own, to be damaged."""
    shutil.copytree(finished, home, dirs_exist_ok=True)
    return home


def folder_of(root: Path, uid: str) -> Path:
    return root / "results" / "cells" / uid


def forge(folder: Path) -> None:
    """Writes the checksums anew, as somebody who hides a change would."""
    record = json.loads((folder / "cell.json").read_text())
    record["checksums"] = {name: value for name, value in checksums(folder).items() if name != "cell.json"}
    (folder / "cell.json").write_text(json.dumps(record))


def by_uid(verdicts: list[Verdict]) -> dict[str, Verdict]:
    return {verdict.uid: verdict for verdict in verdicts}


def test_a_grid_is_repeated_bit_for_bit_and_the_store_is_untouched(copy: Path) -> None:
    before = checksums(copy / "results" / "cells")
    verdicts, said = verify(tiny_grid(**GRID), copy, jobs=2)
    assert [verdict.uid for verdict in verdicts] == [cell.uid for cell in expansion(tiny_grid(**GRID), copy).cells]
    assert {verdict.outcome for verdict in verdicts} == {"equal"}
    assert last_line(verdicts, 1e-5) == "verified 15 cells: 15 bitwise equal, 0 within 1e-05, 0 differ"
    assert sum("bitwise equal" in line for line in said) == 15
    assert checksums(copy / "results" / "cells") == before


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 64
    path.write_bytes(content)


def change_loss(folder: Path, step: int) -> None:
    table = pd.read_parquet(folder / "history.parquet")
    table.loc[table.index[(table["metric"] == "train.loss") & (table["step"] == step)][0], "value"] += 0.25
    table.to_parquet(folder / "history.parquet", index=False)


def change_token(folder: Path, prompt: int, token: int) -> int:
    """Makes one token id another; returns what it is now."""
    table = pd.read_parquet(folder / "generations.parquet")
    ids = [list(row) for row in table["token_ids"]]
    ids[prompt][token] += 1
    table.assign(token_ids=pd.Series(ids)).to_parquet(folder / "generations.parquet", index=False)
    return int(ids[prompt][token])


def texts_of(cells: Expansion, uid: str) -> list[str]:
    return [text.uid for text in cells.generation if text.parent.uid == uid]


def test_damage_forgery_and_another_environment_are_each_told_of_their_cell(copy: Path) -> None:
    grid = tiny_grid(**GRID)
    cells = expansion(grid, copy)
    (first, second), base = (cell.uid for cell in cells.training), cells.bases[0].uid
    flip(folder_of(copy, first) / "checkpoint" / "model.safetensors", -2)
    change_loss(folder_of(copy, second), 3)
    text = texts_of(cells, second)[1]
    token = change_token(folder_of(copy, text), 2, 1)
    for uid in (second, text):
        forge(folder_of(copy, uid))
    record = json.loads((folder_of(copy, base) / "cell.json").read_text())
    here, record["versions"]["torch"] = record["versions"]["torch"], "1.0"
    (folder_of(copy, base) / "cell.json").write_text(json.dumps(record))
    everything, said = verify(grid, copy)
    verdicts = by_uid(everything)

    damage = "stored checkpoint is damaged (model.safetensors: checksum)"
    assert verdicts[first].outcome == "damaged"
    assert verdicts[first].detail.startswith(f"{damage}, tensor transformer.")
    assert " differs (element " in verdicts[first].detail
    for uid in texts_of(cells, first):  # nothing is read from a checkpoint that is known to be wrong
        assert verdicts[uid].outcome == "failed"
        assert verdicts[uid].detail == f"not re-run: its training cell {first}: {damage}"
    assert verdicts[second].outcome == "differs"
    assert verdicts[second].detail.startswith("first difference at step 3 (train.loss ")
    assert verdicts[text].outcome == "differs"
    assert verdicts[text].detail.startswith(f"first difference at prompt 2 token 1 (token_ids {token} != ")
    assert (verdicts[base].outcome, verdicts[base].environment) == ("equal", f"torch: 1.0 -> {here}")
    assert said[-1] == f"environment of 1 cells is another, stored -> here: torch: 1.0 -> {here}"
    assert last_line(everything, 1e-5) == "verified 15 cells: 6 bitwise equal, 0 within 1e-05, 9 differ"
    assert any(line.endswith("[same environment]") and "step 3" in line for line in said)


def test_forged_weights_show_in_the_training_cell_and_in_its_texts(copy: Path) -> None:
    """The checksums fit, so only computing the cell again can tell. The other cell's altered table is damage."""
    grid = tiny_grid(**GRID)
    cells = expansion(grid, copy)
    first, second = (cell.uid for cell in cells.training)
    path = folder_of(copy, first) / "checkpoint" / "model.safetensors"
    tensors, name = load_file(path), "transformer.wte.weight"
    save_file({**tensors, name: tensors[name][::-1].copy()}, path, metadata={"format": "pt"})
    forge(folder_of(copy, first))
    change_loss(folder_of(copy, second), 2)
    verdicts = by_uid(verify(grid, copy)[0])
    assert verdicts[first].outcome == "differs"
    assert verdicts[first].detail.startswith(f"first difference at tensor {name} differs (element 0: ")
    texts = [verdicts[uid] for uid in texts_of(cells, first)]
    assert {text.outcome for text in texts} == {"differs"}
    assert all(text.detail.startswith("first difference at prompt ") for text in texts)
    start = "stored table is damaged (history.parquet: checksum), step 2 (train.loss "
    assert verdicts[second].detail.startswith(start)
    assert {verdicts[uid].outcome for uid in texts_of(cells, second)} == {"equal"}  # their checkpoint is sound


def test_cells_of_a_damaged_base_and_of_a_lost_cell_are_not_verified(copy: Path) -> None:
    grid = tiny_grid(**GRID)
    cells = expansion(grid, copy)
    (first, second), base = (cell.uid for cell in cells.training), cells.bases[0].uid
    (folder_of(copy, base) / "checkpoint" / "config.json").write_text("{}")
    for uid in (first, texts_of(cells, first)[0]):
        shutil.rmtree(folder_of(copy, uid))
    everything, said = verify(grid, copy)
    verdicts = by_uid(everything)
    assert said[0].startswith("2 cells of the grid have no stored result")
    assert verdicts[base].detail == "stored checkpoint is damaged (config.json: checksum)"
    assert verdicts[second].detail.startswith(f"not re-run: its base {base}: stored checkpoint is damaged")
    for uid in texts_of(cells, first)[1:]:
        assert verdicts[uid].detail == f"not re-run: its training cell {first}: it is not stored"
    # Their training cell's own checkpoint is sound, but the base scores them, too.
    for uid in texts_of(cells, second):
        assert verdicts[uid].detail.startswith(f"not re-run: its base {base}: stored checkpoint is damaged")


def test_a_sample_is_drawn_by_the_study_seed_with_its_texts(copy: Path) -> None:
    verdicts, said = verify(tiny_grid(**GRID), copy, sample=1)
    assert [verdict.outcome for verdict in verdicts] == ["equal"] * 7
    assert said[0] == "sample: 1 training cells drawn by the study seed 5, with their texts"
    uids = [f"{i:020x}" for i in range(50)]
    assert draw(uids, 3, 5) == draw(list(reversed(uids)), 4, 5)[:3]
    assert draw(uids, 3, 5) != draw(uids, 3, 6)
    assert len(draw(uids, 100, 5)) == 50


def test_texts_of_a_checkpoint_that_was_not_kept_come_from_weights_trained_again(data_files: Path) -> None:
    grid = tiny_grid(**GRID, keep="none")
    run(grid, data_files)
    text = expansion(grid, data_files).generation[0]
    verdicts, _ = verify(grid, data_files, cell=text.uid[:12])
    assert [verdict.uid for verdict in verdicts] == [text.parent.uid, text.uid]
    assert {verdict.outcome for verdict in verdicts} == {"equal"}


def test_diverged_and_selection_cells_and_last_checkpoints(tiny: Callable[..., dict[str, Any]], home: Path) -> None:
    training = {**tiny()["training"], "learning_rate": [1e-3, 1e30], "clip": 0, "warmup": 0}
    grid = tiny(training=training, regimes={"none": {}}, keep="all")
    run(grid, home)
    assert list((home / "results" / "cells").glob("*/checkpoint-last"))
    verdicts, said = verify(grid, home, jobs=2)
    assert [verdict.outcome for verdict in verdicts] == ["equal"] * 4
    assert sum("(selection)" in line for line in said) == 2
    diverged = [uid for uid in by_uid(verdicts) if Store(home / "results").status(uid) == "diverged"]
    assert len(diverged) == 1
    path = folder_of(home, diverged[0]) / "cell.json"
    path.write_text(path.read_text().replace('"reason": "', '"reason": "not '))
    (verdict,), _ = verify(grid, home, cell=diverged[0])
    assert verdict.detail.startswith("first difference at status (diverged: not ")


def test_what_cannot_be_verified_is_said(copy: Path, home: Path) -> None:
    grid = tiny_grid(**GRID)
    with pytest.raises(UserError, match="nothing of grid tiny is stored"):
        verify(tiny_grid(**{**GRID, "seed": 6}), copy)
    with pytest.raises(UserError, match="--cell 'zz': no stored cell of the grid starts with it"):
        verify(grid, copy, cell="zz")
    with pytest.raises(UserError, match="--cell or --sample"):
        verify(grid, copy, cell="a", sample=1)
    with pytest.raises(UserError, match="--tolerance nan: must be"):
        verify(grid, copy, tolerance=float("nan"))
    with only_run(home / "results"), pytest.raises(UserError, match="is working"):
        verify(grid, copy)


def test_answers_are_words() -> None:
    assert answer(Verdict("u", "equal", "", "torch: 1 -> 2"), 1e-5) == "bitwise equal"
    assert answer(Verdict("u", "within", "x"), 1e-5) == "equal within 1e-05: x [same environment]"
    assert answer(Verdict("u", "differs", "x", "a: 1 -> 2"), 1e-5) == "differs: x [environment a: 1 -> 2]"
    assert answer(Verdict("u", "damaged", "x"), 1e-5) == "x"


def command(root: Path, *arguments: str) -> list[str]:
    (root / "grid.yaml").write_text(yaml.safe_dump(tiny_grid(**GRID), sort_keys=False))
    return [sys.executable, "-m", "harness.cli", "verify", "grid.yaml", *arguments]


def test_exit_codes(copy: Path) -> None:
    def code(*arguments: str) -> tuple[int, str, str]:
        result = subprocess.run(command(copy, *arguments), cwd=copy, capture_output=True, text=True, check=False)
        return result.returncode, result.stdout, result.stderr

    cell = expansion(tiny_grid(**GRID), copy).training[0]
    status, out, _ = code("--cell", cell.uid, "--jobs", "1")
    assert (status, out.splitlines()[-1]) == (0, "verified 1 cells: 1 bitwise equal, 0 within 1e-05, 0 differ")
    path = folder_of(copy, cell.uid) / "checkpoint" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    status, out, _ = code("--cell", cell.uid, "--jobs", "1")
    assert (status, out.splitlines()[-1]) == (1, "verified 1 cells: 0 bitwise equal, 0 within 1e-05, 1 differ")
    assert "stored checkpoint is damaged (model.safetensors: checksum), tensor " in out
    status, _, errors = code("--cell", "none")
    assert status == 2
    assert errors.startswith("twodice: --cell 'none'")


def test_ctrl_c_leaves_nothing(data_files: Path) -> None:
    grid = tiny_grid(training={**tiny_grid()["training"], "steps": 100_000}, regimes={"none": {}})
    cell = expansion(grid, data_files).training[0]
    Store(data_files / "results").save(Record(cell.uid, "training", "diverged", cell.identity, "too long to be run"))
    arguments = command(data_files, "--jobs", "1")
    (data_files / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    process = subprocess.Popen(arguments, cwd=data_files, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    work = data_files / "results" / "work"
    deadline = time.monotonic() + 120
    while not list(work.glob("verify-*/trained/work/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, "the store is as it was" in errors, "Traceback" in errors) == (130, True, False)
    assert list(work.iterdir()) == []
