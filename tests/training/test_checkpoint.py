from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from harness.training.checkpoint import SafetensorsIO


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = {
        "state_dict": OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.tensor(3)),
        "optimizer_states": [
            {"state": {0: {"step": torch.tensor(4.0), "exp_avg": torch.ones(2)}}, "groups": [{"lr": 0.1}]}
        ],
        "nothing": None,
        "pair": (1, "two"),
        "loops": {"fit": {"done": True, "nan": float("nan")}},
    }
    SafetensorsIO().save_checkpoint(state, tmp_path / "resume")
    loaded = SafetensorsIO().load_checkpoint(tmp_path / "resume")
    assert torch.equal(loaded["state_dict"]["a"], state["state_dict"]["a"])  # type: ignore[index]
    assert loaded["optimizer_states"][0]["state"][0]["step"] == 4.0
    assert isinstance(loaded["state_dict"], OrderedDict)
    assert loaded["pair"] == (1, "two")
    assert loaded["nothing"] is None
    assert loaded["loops"]["fit"]["nan"] != loaded["loops"]["fit"]["nan"]
    assert sorted(path.name for path in (tmp_path / "resume").iterdir()) == ["state.json", "tensors.safetensors"]


def test_shared_and_strided_tensors_survive(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    SafetensorsIO().save_checkpoint({"a": base, "b": base, "c": base.t()}, tmp_path / "x")
    loaded = SafetensorsIO().load_checkpoint(tmp_path / "x")
    assert torch.equal(loaded["b"], base)
    assert torch.equal(loaded["c"], base.t())


def test_what_would_need_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold a set"):
        SafetensorsIO().save_checkpoint({"a": {1, 2}}, tmp_path / "x")


def test_an_older_checkpoint_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for value in (1, 2):
        SafetensorsIO().save_checkpoint({"a": value}, tmp_path / "x")
    assert SafetensorsIO().load_checkpoint(tmp_path / "x")["a"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
