"""Two results of one cell: every kind of difference is named, in bits and within a tolerance, and damage is found."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from harness.identity import uid
from harness.store import Record, Store
from harness.store.compare import Verdict, compare_cell, environment_change
from harness.store.differences import distances, frame_difference, value_text, weights_difference

TRAINING = {"kind": "training", "seed": 1}
TEXTS = {"kind": "generation", "seed": 1}
TOLERANCE = 1e-5


def f32(values: list[float]) -> Any:
    return np.array(values, dtype=np.float32)


def history() -> pd.DataFrame:
    return pd.DataFrame(
        {"step": [1, 2, 2, 3], "metric": ["train.loss", "train.loss", "validation.loss", "train.loss"],
         "value": [0.7, 0.6, 0.65, 0.5]}
    )  # fmt: skip


def frames() -> dict[str, pd.DataFrame]:
    return {
        "history": history(),
        "metrics": pd.DataFrame({"split": ["test"], "metric": ["loss"], "value": [0.25]}),
        "predictions": pd.DataFrame(
            {"example": [4, 9], "loss": f32([0.1, 0.2]), "prediction": [0, 1], "split": ["test", "test"]}
        ),
        "rates": pd.DataFrame({"site": ["head"], "step": [0], "rate": [0.1]}),
    }


def texts() -> pd.DataFrame:
    return pd.DataFrame(
        {"prompt": ["p", "q"], "prompt_text": ["P", "Q"], "text": ["ab", "cd"], "token_ids": [[1, 2, 3], [4, 5]],
         "logprobs": [[-1.0, -2.0, -3.0], [-4.0, -5.0]], "finished": [True, False]}
    )  # fmt: skip


def weights() -> dict[str, Any]:
    return {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b.bias": f32([1.0, -0.0])}


@dataclass
class Content:
    """What one store holds of the training cell."""

    status: str = "done"
    reason: str = ""
    tables: dict[str, pd.DataFrame] = field(default_factory=frames)
    tensors: dict[str, Any] = field(default_factory=weights)
    summary: dict[str, Any] = field(default_factory=lambda: {"steps": 3, "score": 0.5, "checkpoint": "digest"})
    versions: dict[str, str] = field(default_factory=lambda: {"torch": "1"})
    keep: bool = True


def put(root: Path, content: Content, identity: Mapping[str, Any] = TRAINING) -> Store:
    store = Store(root)
    folder = root / "checkpoint"
    folder.mkdir(parents=True)
    save_file(content.tensors, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    record = Record(
        uid(dict(identity)), str(identity["kind"]), content.status, dict(identity), content.reason, content.summary,
        versions=content.versions, seconds=float(np.random.default_rng().random()),
    )  # fmt: skip
    done = content.status == "done"
    store.save(record, content.tables if done else {}, {"checkpoint": folder} if content.keep and done else {})
    return store


def compared(tmp_path: Path, again: Content, stored: Content | None = None) -> Verdict:
    one, two = put(tmp_path / "stored", stored or Content()), put(tmp_path / "again", again)
    return compare_cell(one, two, uid(TRAINING), TOLERANCE)


def with_table(name: str, table: pd.DataFrame) -> Content:
    return Content(tables={**frames(), name: table})


def test_equal_cells_are_bitwise_equal_whatever_they_took(tmp_path: Path) -> None:
    assert compared(tmp_path, Content()) == Verdict(uid(TRAINING), "equal")


DIFFERENT: dict[str, tuple[Content, str]] = {
    "loss": (
        with_table("history", history().assign(value=[0.7, 0.625, 0.65, 9.0])),
        "first difference at step 2 (train.loss 0.6 != 0.625)",
    ),
    "validation": (
        with_table("history", history().assign(value=[0.7, 0.6, math.nan, 0.5])),
        "first difference at step 2 (validation.loss 0.65 != nan)",
    ),
    "step": (with_table("history", history().assign(step=[1, 2, 2, 4])), "history (metric train.loss: step 3 != 4)"),
    "short history": (with_table("history", history()[:3]), "history: 4 rows != 3 rows"),
    "metric": (
        with_table("metrics", frames()["metrics"].assign(value=0.5)),
        "metrics (split test, metric loss: value 0.25 != 0.5)",
    ),
    "prediction": (
        with_table("predictions", frames()["predictions"].assign(prediction=[0, 0])),
        "predictions (split test, example 9: prediction 1 != 0)",
    ),
    "rate": (with_table("rates", frames()["rates"].assign(rate=0.2)), "rates (site head, step 0: rate 0.1 != 0.2)"),
    "column": (
        with_table("rates", frames()["rates"].assign(more=1)),
        "rates: column more is only in the new table",
    ),
    "tensor": (
        Content(tensors={**weights(), "a.weight": weights()["a.weight"] * np.float32(1.5)}),
        "first difference at tensor a.weight differs (element 1: 1 != 1.5)",
    ),
    "tensors": (
        Content(tensors={name: value + np.float32(1) for name, value in weights().items()}),
        "tensor a.weight differs (element 0: 0 != 1) and 1 more tensors",
    ),
    "shape": (
        Content(tensors={**weights(), "b.bias": np.zeros(3, np.float32)}),
        "tensor b.bias differs (float32[2] != float32[3])",
    ),
    "missing tensor": (
        Content(tensors={"a.weight": weights()["a.weight"]}),
        "tensor b.bias is only in the stored checkpoint",
    ),
    "status": (
        Content(status="diverged", reason="nan at step 2"),
        "first difference at status (done != diverged: nan at step 2)",
    ),
    "summary": (
        Content(summary={"steps": 4, "score": 0.5, "checkpoint": "digest"}),
        "first difference at summary (steps 3 != 4)",
    ),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_a_difference_is_named(tmp_path: Path, kind: str) -> None:
    again, expected = DIFFERENT[kind]
    verdict = compared(tmp_path, again)
    assert verdict.outcome == "differs"
    assert expected in verdict.detail


def test_a_training_that_parts_names_step_and_tensor(tmp_path: Path) -> None:
    again = with_table("history", history().assign(value=[0.7, 0.6, 0.65, 0.75]))
    again.tensors["b.bias"] = f32([2.0, 0.0])
    verdict = compared(tmp_path, again)
    expected = "first difference at step 3 (train.loss 0.5 != 0.75), tensor b.bias differs (element 0: 1 != 2)"
    assert verdict == Verdict(uid(TRAINING), "differs", expected)


def test_small_differences_are_within_the_tolerance_and_told(tmp_path: Path) -> None:
    again = with_table("history", history().assign(value=[0.7, 0.6 + 2e-6, 0.65, 0.5]))
    again.tensors["a.weight"] = weights()["a.weight"] * np.float32(1 + 4e-6)
    again.summary["score"] = 0.5 + 1e-9
    verdict = compared(tmp_path, again)
    assert verdict.outcome == "within"
    assert verdict.detail.startswith("largest difference 4.")
    assert "first at step 2 (train.loss 0.6 != 0.60000" in verdict.detail


def test_the_sign_of_zero_is_a_bit_and_no_distance(tmp_path: Path) -> None:
    verdict = compared(tmp_path, Content(tensors={**weights(), "b.bias": f32([1.0, 0.0])}))
    assert (verdict.outcome, "tensor b.bias" in verdict.detail) == ("within", True)


def test_a_table_is_compared_by_bits_too() -> None:
    one, two = (pd.DataFrame({"step": [7], "metric": ["train.loss"], "value": [value]}) for value in (0.0, -0.0))
    found = frame_difference("history", one, two, TOLERANCE)
    assert (found.first, found.beyond, found.largest) == ("step 7 (train.loss 0 != -0)", "", 0.0)


def test_weights_that_were_not_kept_are_compared_by_digest(tmp_path: Path) -> None:
    again = Content(summary={"steps": 3, "score": 0.5, "checkpoint": "other"})
    assert compared(tmp_path / "kept", again).outcome == "equal"  # tensors decide, not the file's bytes
    verdict = compared(tmp_path / "lost", again, Content(keep=False))
    assert verdict.outcome == "differs"
    assert "digest of the weights (digest != other" in verdict.detail


def test_diverged_twice_is_equal_and_elsewhere_is_not(tmp_path: Path) -> None:
    one, two = (Content(status="diverged", reason=f"the loss is nan after {step} steps") for step in (3, 4))
    assert compared(tmp_path / "same", one, one).outcome == "equal"
    assert "after 3 steps != diverged: the loss is nan after 4" in compared(tmp_path / "other", two, one).detail


def test_a_failed_or_absent_re_run_is_no_success(tmp_path: Path) -> None:
    verdict = compared(tmp_path, Content(status="error", reason="it broke"))
    assert (verdict.outcome, verdict.good, verdict.detail) == ("failed", False, "failed to re-run: it broke")
    nothing = compare_cell(Store(tmp_path / "stored"), Store(tmp_path / "none"), uid(TRAINING), TOLERANCE)
    assert nothing.outcome == "failed"


def test_the_environment_is_named_beside_the_answer(tmp_path: Path) -> None:
    verdict = compared(tmp_path, Content(versions={"torch": "2", "gpu": "none"}))
    assert verdict.outcome == "equal"
    assert verdict.environment == "gpu: not stored -> none, torch: 1 -> 2"
    assert environment_change({"torch": "1"}, {"torch": "1"}) == ""


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("position", [-1, 9])
def test_one_changed_byte_of_a_checkpoint_is_damage_and_named(tmp_path: Path, position: int) -> None:
    stored, again = put(tmp_path / "stored", Content()), put(tmp_path / "again", Content())
    flip(stored.folder(uid(TRAINING)) / "checkpoint" / "model.safetensors", position)
    verdict = compare_cell(stored, again, uid(TRAINING), TOLERANCE)
    assert verdict.outcome == "damaged"
    assert verdict.detail.startswith("stored checkpoint is damaged (model.safetensors: checksum), ")
    named = "tensor b.bias differs (element 1: " if position == -1 else "the weights cannot be compared ("
    assert named in verdict.detail


def test_damage_that_no_comparison_sees_is_damage(tmp_path: Path) -> None:
    stored, again = put(tmp_path / "stored", Content()), put(tmp_path / "again", Content())
    folder = stored.folder(uid(TRAINING))
    (folder / "checkpoint" / "config.json").write_text("[]")
    (folder / "rates.parquet").unlink()
    verdict = compare_cell(stored, again, uid(TRAINING), TOLERANCE)
    assert verdict.outcome == "damaged"
    assert "stored checkpoint is damaged (config.json: checksum)" in verdict.detail
    assert "stored table is damaged (rates.parquet: missing)" in verdict.detail
    assert "rates: the stored table cannot be read" in verdict.detail


def test_a_damaged_record_is_damage(tmp_path: Path) -> None:
    stored, again = put(tmp_path / "stored", Content()), put(tmp_path / "again", Content())
    path = stored.folder(uid(TRAINING)) / "cell.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "identity": {"seed": 2}}))
    assert compare_cell(stored, again, uid(TRAINING), TOLERANCE).outcome == "damaged"


TEXT_CHANGES: dict[str, tuple[dict[str, Any], str, str]] = {
    "token": ({"token_ids": [[1, 2, 3], [4, 6]]}, "differs", "prompt 1 token 1 (token_ids 5 != 6)"),
    "length": ({"token_ids": [[1, 2], [4, 5]]}, "differs", "prompt 0 token 2 (token_ids 3 != nothing)"),
    "text": ({"text": ["ab", "ce"]}, "differs", "prompt 1 (text 'cd' != 'ce')"),
    "finished": ({"finished": [True, True]}, "differs", "prompt 1 (finished False != True)"),
    "logprob": (
        {"logprobs": [[-1.0, -2.5, -3.0], [-4.0, -5.0]]}, "differs", "prompt 0 token 1 (logprobs -2 != -2.5)",
    ),
    "last bits": (
        {"logprobs": [[-1.0, -2.0, -3.0], [-4.0, -5.0 - 1e-6]]}, "within", "prompt 1 token 1 (logprobs -5 != -5.00",
    ),
    "token first": (
        {"token_ids": [[1, 2, 9], [4, 5]], "text": ["az", "cd"], "logprobs": [[-9.0, -9.0, -9.0], [-4.0, -5.0]]},
        "differs", "prompt 0 token 2 (token_ids 3 != 9)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXT_CHANGES)
def test_texts_name_prompt_and_token(tmp_path: Path, kind: str) -> None:
    changes, outcome, expected = TEXT_CHANGES[kind]
    stored = put(tmp_path / "stored", Content(tables={"generations": texts()}, summary={}, keep=False), TEXTS)
    changed = texts().assign(**{name: pd.Series(values) for name, values in changes.items()})
    again = put(tmp_path / "again", Content(tables={"generations": changed}, summary={}, keep=False), TEXTS)
    verdict = compare_cell(stored, again, uid(TEXTS), TOLERANCE)
    assert verdict.outcome == outcome
    assert expected in verdict.detail
    assert compare_cell(stored, stored, uid(TEXTS), TOLERANCE).outcome == "equal"


def test_distances_are_relative_or_absolute() -> None:
    stored = np.array([0.0, 100.0, math.nan, math.inf, math.inf, 1.0])
    again = np.array([1e-6, 101.0, math.nan, math.inf, -math.inf, math.nan])
    np.testing.assert_allclose(distances(stored, again), [1e-6, 1 / 101, 0, 0, math.inf, math.inf])


def test_tokens_are_never_near(tmp_path: Path) -> None:
    """A relative distance would call the ids 1000000 and 1000001 equal; they are two tokens."""
    one, two = (pd.DataFrame({"token_ids": [np.array([token])], "count": [token]}) for token in (1_000_000, 1_000_001))
    assert frame_difference("generations", one, two, 1e-5).largest == math.inf
    assert frame_difference("x", one[["count"]], two[["count"]], 1e-5).beyond == "x (row 0: count 1000000 != 1000001)"
    assert frame_difference("x", one[:0], two[:0], 1e-5).first == ""


def test_only_the_tensor_beyond_the_tolerance_is_the_first_difference(tmp_path: Path) -> None:
    save_file({"a": f32([1.0]), "b": f32([1.0])}, tmp_path / "one")
    save_file({"a": np.nextafter(f32([1.0]), np.float32(2)), "b": f32([2.0])}, tmp_path / "two")
    found = weights_difference(tmp_path / "one", tmp_path / "two", TOLERANCE)
    assert found.first.startswith("tensor a differs")
    assert found.beyond == "tensor b differs (element 0: 1 != 2)"


def test_whole_numbers_in_a_checkpoint_are_exact(tmp_path: Path) -> None:
    for name, value in (("one", 1_000_000), ("two", 1_000_001)):
        save_file({"a": np.array([value]), "empty": np.zeros((0, 3), np.float32)}, tmp_path / name)
    found = weights_difference(tmp_path / "one", tmp_path / "two", TOLERANCE)
    assert found.beyond == "tensor a differs (element 0: 1000000 != 1000001)"


def test_values_are_written_with_all_their_digits() -> None:
    assert [value_text(value) for value in (0.1 + 0.2, 3.0, math.inf, math.nan, 7)] == [
        "0.30000000000000004", "3", "inf", "nan", "7",
    ]  # fmt: skip
    assert len(value_text("x" * 500)) < 80
