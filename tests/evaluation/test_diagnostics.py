"""Attention diagnostics: exact values of made-up maps, and of whole models against a slow loop over real positions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from toolbox import LANGUAGE, TINY

from harness.errors import CellError
from harness.evaluation.diagnostics import attention_diagnostics, attention_entropy, head_divergence
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, start_model
from harness.training.inputs import Inputs

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = {**TINY, "layers": 2, "heads": 2, "pretrain_steps": 0}


def made(grid: dict[str, Any], home: Path) -> tuple[Any, Inputs]:
    store = Store(home / "results")
    cell = expand(parse_grid(grid, "grid"), store, None).training[0]
    inputs = Worker(store).inputs(cell.problem)
    return start_model(store, cell, inputs), inputs


def test_entropy_of_uniform_and_of_one_hot_attention() -> None:
    maps = torch.zeros(1, 3, 2, 8)
    maps[0, 0] = 1 / 8
    maps[0, 1, :, 5] = 1.0
    maps[0, 2, :, :2] = 0.5
    expected = torch.tensor([math.log(8), 0.0, math.log(2)], dtype=torch.float64)[None, :, None].expand(1, 3, 2)
    torch.testing.assert_close(attention_entropy(maps), expected, rtol=0, atol=1e-15)


def test_divergence_of_equal_and_of_disjoint_heads() -> None:
    maps = torch.zeros(1, 2, 1, 4)
    maps[:, :, :, :2] = 0.5
    assert head_divergence(maps).abs().max() < 1e-15
    maps[0, 1, 0] = torch.tensor([0.0, 0.0, 0.25, 0.75])
    torch.testing.assert_close(head_divergence(maps), torch.full((1, 2, 1), math.log(2), dtype=torch.float64))


def test_divergence_equals_kullback_leibler_to_the_mixture_over_all_pairs() -> None:
    maps = torch.softmax(torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(1)), dim=-1).double()

    def js(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        m = (p + q) / 2
        return ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1)) / 2

    found = head_divergence(maps)
    for head in range(4):
        others = torch.stack([js(maps[:, head], maps[:, other]) for other in range(4) if other != head])
        torch.testing.assert_close(found[:, head], others.mean(dim=0), rtol=1e-12, atol=1e-14)
    pairs = [js(maps[:, a], maps[:, b]) for a in range(4) for b in range(a)]
    torch.testing.assert_close(found.mean(), torch.stack(pairs).mean(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["bert-tiny", "gpt2-tiny"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_classifier_equals_an_example_by_example_loop_without_padding(
    tiny: Any, home: Path, name: str, attention: str
) -> None:
    model, inputs = made(tiny(models=[{f"scratch:{name}": SHAPE}]), home)
    with torch.no_grad():  # untrained attention is all but uniform; make heads differ
        for parameter in model.parameters():
            parameter.mul_(4)
    model.set_attn_implementation(attention)
    model.train()
    split: Any = inputs.splits["validation"]
    assert len(set(split.lengths)) > 1
    frame = attention_diagnostics(model, split, inputs, name.removesuffix("-tiny"))
    assert model.config._attn_implementation == attention
    assert model.training
    model.eval()
    model.set_attn_implementation("eager")
    entropies, queries = np.zeros((2, 2)), 0
    for row in range(len(split)):
        ids = torch.tensor(split.row(row)[None].astype(np.int64))
        with torch.no_grad():
            maps = model(ids, output_attentions=True).attentions
        queries += ids.shape[1]
        for layer in range(2):
            p = maps[layer][0].double()
            entropies[layer] += -(p * p.clamp_min(1e-300).log()).sum(dim=(1, 2)).numpy()
    found = frame[frame["metric"] == "attention-entropy"]
    assert found[["layer", "head"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    np.testing.assert_allclose(found["value"], (entropies / queries).ravel(), rtol=1e-5)
    diversity = frame.loc[frame["metric"] == "head-diversity", "value"]
    assert len(diversity) == 4
    assert ((diversity > 0) & (diversity < math.log(2))).all()


def test_a_causal_models_uniform_attention_is_over_what_each_query_sees(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(**{**LANGUAGE, "models": [{"scratch:gpt2-tiny": SHAPE}]}), home)
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight.zero_()  # all scores equal
    frame = attention_diagnostics(model, inputs.splits["validation"], inputs, "gpt2")
    expected = np.mean([math.log(n) for n in range(1, 33)])
    entropy = frame.loc[frame["metric"] == "attention-entropy", "value"]
    np.testing.assert_allclose(entropy, expected, rtol=1e-6)
    np.testing.assert_allclose(frame.loc[frame["metric"] == "head-diversity", "value"], 0, atol=1e-7)


def test_one_head_has_no_diversity(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(models=[{"scratch:bert-tiny": {**SHAPE, "heads": 1}}]), home)
    frame = attention_diagnostics(model, inputs.splits["validation"], inputs, "bert")
    assert set(frame["metric"]) == {"attention-entropy"}


def test_two_calls_are_equal_and_draw_nothing(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(models=[{"scratch:bert-tiny": SHAPE}]), home)
    state = torch.get_rng_state()
    one, two = (attention_diagnostics(model, inputs.splits["validation"], inputs, "bert") for _ in range(2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)
    assert torch.equal(state, torch.get_rng_state())


def test_the_attention_implementation_is_put_back_after_an_error(tiny: Any, home: Path) -> None:
    model, inputs = made(tiny(models=[{"scratch:bert-tiny": SHAPE}]), home)
    seen: list[str] = []

    def without_maps(**_: Any) -> Any:
        seen.append(model.config._attn_implementation)
        return type("Output", (), {"attentions": None})

    model.forward = without_maps
    with pytest.raises(CellError, match="gives no attention maps"):
        attention_diagnostics(model, inputs.splits["validation"], inputs, "bert")
    assert seen == ["eager"]
    assert model.config._attn_implementation == "sdpa"
