"""Generation cells of real checkpoints: what is stored, what other models say of it, and what fixed batches change."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from toolbox import LANGUAGE, TINY, tiny_grid, write_data

from harness.executors.verify import Verifier
from harness.inference.cells import run_generation, stored_model
from harness.spec.cells import GenerationCell
from harness.spec.expand import Expansion, expand
from harness.spec.load import parse_grid
from harness.store import Record, Store
from harness.training.cells import Worker, run_base, run_training
from harness.training.inputs import Inputs

# Twenty texts a side are the fewest that MAUVE takes.
DECODING = {"top_k": [1, 5], "also": [{"top_p": 0.9}], "max_new_tokens": 6, "prompts": 24, "prompt_tokens": 8}


def grid(**decoding: Any) -> Any:
    models = [{"scratch:gpt2-tiny": {**TINY, "pretrain_steps": 4}}]
    replicates = {"training": {"count": 1}, "inference": {"count": 2}, "repeats": 0}
    changes = {**LANGUAGE, "models": models, "replicates": replicates, "decoding": {**DECODING, **decoding}}
    return parse_grid(tiny_grid(**changes, regimes={"standard-0.1": {"all": 0.1}}), "grid")


class Run:
    """A store with a trained checkpoint, worked on in this process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root / "results")
        self.worker = Worker(self.store)
        expansion = self.expand()
        assert run_base(self.worker, expansion.bases[0], lambda *_: None) == "done"
        assert run_training(self.worker, expansion.training[0], lambda *_: None) == "done"

    def expand(self, **decoding: Any) -> Expansion:
        return expand(grid(**decoding), self.store, None)

    @property
    def checkpoint(self) -> Path:
        return self.store.folder(self.expand().training[0].uid) / "checkpoint"

    def generate(self, cells: list[GenerationCell]) -> tuple[Any, Inputs]:
        inputs = self.worker.inputs(cells[0].parent.problem)
        model = stored_model(self.store, cells[0].parent, inputs)
        run_generation(self.worker, cells, model, inputs)
        return model, inputs

    def record(self, cell: GenerationCell) -> Record:
        record = self.store.record(cell.uid)
        assert record is not None
        return record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    before, threads = os.getcwd(), torch.get_num_threads()
    root = tmp_path_factory.mktemp("generation")
    write_data(root)
    os.chdir(root)
    torch.set_num_threads(1)
    yield Run(root)
    torch.set_num_threads(threads)
    os.chdir(before)


@pytest.fixture(autouse=True)
def _here(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the run's data is, not in the folder that every test gets."""
    monkeypatch.chdir(run.root)


def plain_logprobs(model: Any, prompt: list[int], text: list[int]) -> torch.Tensor:
    """Teacher-forced log-probabilities of a text, one at a time and without a cache."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *text]])).logits[0].double().log_softmax(-1)
    return logits[len(prompt) - 1 : -1].gather(1, torch.tensor(text)[:, None])[:, 0]


def test_every_text_is_scored_by_its_model_and_by_the_base(run: Run) -> None:
    cells = run.expand().generation
    model, inputs = run.generate(cells)
    base = type(model).from_pretrained(run.store.folder(run.expand().bases[0].uid) / "checkpoint").eval()
    prompts = {one.prompt.id: list(one.prompt.token_ids) for one in run.expand().asked(cells[0].parent.problem)}
    assert [cell.setting.label for cell in cells].count("human") == 1
    for cell in cells:
        frame = run.store.frame(cell.uid, "generations")
        assert len(frame) == 24
        for row in frame.iloc[:3].to_dict("records"):
            text = list(row["token_ids"]) + ([inputs.special.eos] if row["finished"] else [])
            for scorer, column in ((model, "logprobs"), (base, "base_logprobs")):
                expected = plain_logprobs(scorer, prompts[row["prompt"]], text)
                assert row[column] == pytest.approx(expected.tolist(), abs=1e-5)
        assert (frame["sampling_logprobs"].str.len() == 0).all() == cell.setting.human


def test_the_configuration_and_the_probe_are_stored(run: Run) -> None:
    cells = run.expand().generation
    run.generate(cells)
    for cell in cells:
        summary = run.record(cell).summary
        assert summary["configuration"]["max_new_tokens"] == 6
        assert "eos_token_id" in summary["configuration"]
        assert summary["texts"] == 24
        assert summary.get("rows_independent") is (None if cell.setting.human else True)
        assert "flips" not in summary


def test_human_texts_are_the_test_split_itself(run: Run) -> None:
    (cell,) = [cell for cell in run.expand().generation if cell.setting.human]
    run.generate([cell])
    stream = (run.root / "test.txt").read_text().strip()
    frame = run.store.frame(cell.uid, "generations")
    assert all(prompt + text in stream for prompt, text in zip(frame["prompt_text"], frame["text"], strict=True))
    assert run.record(cell).summary["generated"] == 0


def test_an_evaluator_that_is_the_model_itself_agrees_with_it(run: Run) -> None:
    cells = run.expand(evaluator=str(run.checkpoint)).generation
    run.generate(cells)
    agreed = 0
    for cell in cells:
        for row in run.store.frame(cell.uid, "generations").to_dict("records"):
            if "<" in row["text"] or row["finished"]:  # special tokens are ordinary characters to an evaluator
                continue
            assert row["evaluator_logprobs"] == pytest.approx(list(row["logprobs"]), abs=1e-4)
            agreed += 1
    assert agreed > 24


def test_mauve_is_a_number_of_every_sampled_cell(run: Run) -> None:
    pytest.importorskip("mauve", reason="the extra 'mauve' is not installed")
    cells = run.expand(mauve=str(run.checkpoint)).generation
    run.generate(cells)
    for cell in cells:
        files = run.record(cell).checksums
        assert ("scores.parquet" in files) == (not cell.setting.human)
        if not cell.setting.human:
            scores = run.store.frame(cell.uid, "scores")
            assert scores[["unit", "prompt", "metric"]].to_numpy().tolist() == [["set", "", "mauve"]]
            assert scores["value"].between(0, 1).all()


def test_a_judge_changes_the_cell_and_not_its_texts(run: Run) -> None:
    plain, judged = run.expand().generation, run.expand(evaluator=str(run.checkpoint)).generation
    run.generate(plain)
    run.generate(judged)
    for one, other in zip(plain, judged, strict=True):
        assert one.uid != other.uid
        frames = [run.store.frame(cell.uid, "generations") for cell in (one, other)]
        assert frames[1].drop(columns="evaluator_logprobs").equals(frames[0])


def test_where_the_probe_fails_batches_are_fixed_and_flips_are_counted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = run.expand(max_new_tokens=5).generation  # texts that no other test has stored
    run.generate(cells)
    before = {cell.uid: run.store.frame(cell.uid, "generations") for cell in cells}
    monkeypatch.setattr("harness.inference.cells.row_independence", lambda *_, **__: False)
    monkeypatch.setattr("harness.inference.cells.FIXED_ROWS", 16)
    run.generate(cells)
    for cell in cells:
        summary = run.record(cell).summary
        if cell.setting.human:
            assert "rows_independent" not in summary
            continue
        assert summary["rows_independent"] is False
        # Up to 64 texts of the pass; here, with one thread, none of them flips, and no bit is another.
        assert summary["flips"]["differing"] == 0
        assert 32 <= summary["flips"]["texts"] <= 64
        assert run.store.frame(cell.uid, "generations").equals(before[cell.uid])


def test_texts_are_verified_with_their_base_scores(run: Run) -> None:
    run.generate(run.expand().generation)
    verdicts = Verifier(grid(), run.root, say=lambda _: None).verify()
    assert len(verdicts) == 1 + 1 + 1 + 2 + 2 + 1  # base, training, greedy, two levels of two settings, human
    assert {verdict.outcome for verdict in verdicts} == {"equal"}
