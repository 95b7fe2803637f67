"""Every model family through the harness: encoded, padded, pretrained, trained, exported and loaded again."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from toolbox import TINY, invented_rows, write_roberta_vocabulary
from torch import Tensor
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaTokenizer

from harness.data.families import ENCODERS, FAMILIES, SEGMENTED
from harness.errors import CellError, UserError
from harness.spec.cells import TrainingCell
from harness.spec.expand import expand
from harness.spec.load import parse_grid
from harness.store import Store
from harness.training.cells import Worker, export, run_base, run_training, start_model
from harness.training.inputs import Inputs, collate, corrupt
from harness.training.model import load_model, new_model
from harness.training.objective import forward

pytestmark = pytest.mark.usefixtures("one_thread")
NEW = ("roberta", "distilbert", "electra")


def cell_of(grid: dict[str, Any], home: Path, results: str = "results") -> tuple[Worker, TrainingCell]:
    store = Store(home / results)
    return Worker(store), expand(parse_grid(grid, "grid"), store, None).training[0]


def scratch(family: str, **changes: Any) -> dict[str, Any]:
    return {"models": [{f"scratch:{family}-tiny": {**TINY, "pretrain_steps": 0, **changes}}]}


def started(tiny: Any, home: Path, family: str) -> tuple[TrainingCell, Inputs, Any]:
    worker, cell = cell_of(tiny(**scratch(family)), home)
    inputs = worker.inputs(cell.problem)
    return cell, inputs, start_model(worker.store, cell, inputs).eval()


def logits_of(model: Any, inputs: Inputs, family: str, rows: int = 8) -> Tensor:
    with torch.no_grad():
        return forward(model.eval(), collate(inputs.splits["test"], np.arange(rows), inputs, family))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_rate_of_a_scratch_configuration_is_on(tiny: Any, home: Path, family: str) -> None:
    _, _, model = started(tiny, home, family)
    rates = {key: value for key, value in model.config.to_dict().items() if "drop" in key}
    assert rates
    assert [key for key, value in rates.items() if value] == []
    assert all(module.p == 0 for module in model.modules() if isinstance(module, torch.nn.Dropout))


@pytest.mark.parametrize("family", ENCODERS)
def test_padding_changes_no_logits(tiny: Any, home: Path, family: str) -> None:
    """A padded row's logits equal its own alone within 1e-5."""
    _, inputs, model = started(tiny, home, family)
    split = inputs.splits["train"]
    rows = np.arange(12)
    with torch.no_grad():
        together = forward(model, collate(split, rows, inputs, family))
        for row in rows:
            alone = forward(model, collate(split, rows[row : row + 1], inputs, family))
            torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=0)
    assert len({split.length(int(row)) for row in rows}) > 1  # type: ignore[union-attr]


@pytest.mark.parametrize("family", FAMILIES)
def test_only_families_with_segments_are_given_them(tiny: Any, home: Path, family: str) -> None:
    _, inputs, _ = started(tiny, home, family)
    read = collate(inputs.splits["train"], np.arange(3), inputs, family).inputs
    assert ("token_type_ids" in read) == (family in SEGMENTED)


def test_robertas_positions_are_those_of_its_class(tiny: Any, home: Path) -> None:
    cell, inputs, model = started(tiny, home, "roberta")
    batch = collate(inputs.splits["train"], np.arange(12), inputs, "roberta")
    embeddings, pad = model.roberta.embeddings, inputs.special.pad
    expected = embeddings.create_position_ids_from_input_ids(batch.inputs["input_ids"], pad)
    assert torch.equal(batch.inputs["position_ids"], expected)
    assert embeddings.padding_idx == pad
    # As many tokens as the preset has positions; one more is too many.
    longest = cell.problem.model.positions
    assert longest == TINY["positions"]
    assert model(torch.full((1, longest), pad + 2)).logits.shape == (1, 2)
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        model(torch.full((1, longest + 1), pad + 2))


def test_corruption_never_moves_a_position(tiny: Any, home: Path) -> None:
    """A vocabulary of one: every random token is padding, from which RoBERTa would count on wrongly."""
    _, inputs, model = started(tiny, home, "roberta")
    batch = collate(inputs.splits["train"], np.arange(12), inputs, "roberta")
    generators = [np.random.default_rng(row) for row in range(12)]
    changed = corrupt(batch, inputs, generators, vocabulary=1)
    ids, mask = changed.inputs["input_ids"], changed.inputs["attention_mask"]
    assert int(((ids == inputs.special.pad) & (mask == 1)).sum()) > 0  # the trap is set
    assert torch.equal(changed.inputs["position_ids"], batch.inputs["position_ids"])
    seen: list[Tensor] = []
    model.roberta.embeddings.position_embeddings.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    forward(model, changed)
    assert torch.equal(seen[0], batch.inputs["position_ids"])


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_are_in_the_configuration(tiny: Any, home: Path, family: str) -> None:
    """Token dropout reads them there."""
    _, inputs, model = started(tiny, home, family)
    special = inputs.special
    known = {getattr(model.config, f"{name}_token_id", None) for name in ("pad", "cls", "sep", "eos")}
    assert known - {None} == {special.pad, special.cls, special.sep, special.eos} - {None}


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exported_model_gives_the_same_logits_when_it_is_loaded_again(tiny: Any, home: Path, family: str) -> None:
    """By our loader with other streams, by a grid that names the folder, and by transformers alone."""
    from transformers import AutoModelForSequenceClassification

    cell, inputs, model = started(tiny, home, family)
    expected = logits_of(model, inputs, family)
    folder = export(model, inputs, home / "exported")
    elsewhere = replace(cell, declared={**cell.declared, "init": 9}).streams
    loaded = load_model(cell.problem, inputs, folder, "classification", elsewhere, "sdpa")
    assert torch.equal(logits_of(loaded, inputs, family), expected)
    worker, again = cell_of(tiny(models=[str(folder)]), home, "others")
    named = again.problem.model
    assert (named.family, named.positions, named.layers) == (family, TINY["positions"], TINY["layers"])
    read = worker.inputs(again.problem)
    assert torch.equal(logits_of(start_model(worker.store, again, read), read, family), expected)
    assert torch.equal(logits_of(AutoModelForSequenceClassification.from_pretrained(folder), inputs, family), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_gives_its_body_and_the_head_is_keyed(tiny: Any, home: Path, family: str) -> None:
    cell, inputs, whole = started(tiny, home, family)
    objective = "masked" if family in ENCODERS else "causal"
    base = new_model(cell.problem, inputs, objective, replace(cell, declared={"init": 7}).streams, "sdpa")  # type: ignore[arg-type]
    folder = export(base, inputs, home / "base")
    body = dict(base.named_parameters())
    keyed = dict(whole.named_parameters())  # the same head's weights, drawn with all the others
    for ambient in (1, 2):
        torch.manual_seed(ambient)
        model = load_model(cell.problem, inputs, folder, "classification", cell.streams, "sdpa")
        for name, parameter in model.named_parameters():
            from_base = name.startswith(f"{model.base_model_prefix}.") and ".pooler." not in name
            assert torch.equal(parameter, body[name] if from_base else keyed[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_without_a_part_of_the_body_is_refused(tiny: Any, home: Path, family: str) -> None:
    cell, inputs, model = started(tiny, home, family)
    folder = export(model, inputs, home / "exported")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if ".0." in name and name.endswith("weight"))
    del weights[lost]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CellError, match=f"lacks 1 weights of the model's body, for example {lost}"):
        load_model(cell.problem, inputs, folder, "classification", cell.streams, "sdpa")


def published_roberta(folder: Path, **changes: Any) -> Path:
    """A folder as RoBERTa is published: vocab.json and merges.txt, padding id 1, two positions more than tokens."""
    write_roberta_vocabulary(folder, [text for text, _ in invented_rows(20)])
    values = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
              "type_vocab_size": 1, "vocab_size": 300, "max_position_embeddings": 50, **changes}  # fmt: skip
    torch.manual_seed(0)
    RobertaForMaskedLM(RobertaConfig(**values)).save_pretrained(folder)
    return folder


def test_a_published_roberta_reads_pairs_with_its_own_template_and_positions(tiny: Any, home: Path) -> None:
    folder = published_roberta(home / "roberta")
    rows = [(text, f"is it {label} ?", label) for text, label in invented_rows(60)]
    frame = pd.DataFrame(rows, columns=["premise", "question", "label"])
    for split in ("train", "dev", "test"):
        frame.to_csv(home / f"{split}.csv", index=False)
    task = {**tiny()["tasks"][0]["csv"], "text": "premise", "text_pair": "question"}
    worker, cell = cell_of(tiny(tasks=[{"csv": task}], models=[str(folder)]), home)
    assert cell.problem.model.positions == 48
    inputs = worker.inputs(cell.problem)
    rows_read = np.arange(12)
    batch = collate(inputs.splits["train"], rows_read, inputs, "roberta").inputs
    theirs = RobertaTokenizer.from_pretrained(folder)(
        *(frame[column][:12].tolist() for column in ("premise", "question")),
        truncation=True, max_length=40, padding=True, return_tensors="pt",
    )  # fmt: skip
    assert torch.equal(batch["input_ids"], theirs["input_ids"])
    assert torch.equal(batch["attention_mask"], theirs["attention_mask"])
    assert set(batch) == {"input_ids", "attention_mask", "position_ids"}
    model = start_model(worker.store, cell, inputs).eval()
    assert torch.equal(model(**batch).logits, model(**theirs).logits)
    assert run_training(worker, cell, lambda *_: None) == "done"


def test_a_roberta_that_counts_from_another_padding_than_its_tokenizers_is_refused(tiny: Any, home: Path) -> None:
    _, inputs, model = started(tiny, home, "roberta")
    model.config.pad_token_id = 1
    folder = export(model, inputs, home / "exported")
    with pytest.raises(UserError, match="the tokenizer pads with id 0, the model counts positions from id 1"):
        cell_of(tiny(models=[str(folder)]), home, "others")


@pytest.mark.parametrize("family", NEW)
def test_a_cell_of_each_new_family_from_its_base_to_its_predictions(tiny: Any, home: Path, family: str) -> None:
    """Twice, with other ambient states: the same weights; every site drops, and all that reads a model reads this."""
    grid = tiny(
        tasks=[{"toy-sentiment": {"train": 64, "validation": 32, "test": 32, "shift": 16}}],
        **scratch(family, layers=2, pretrain_steps=3, positions=64),
        regimes={"most": {"all": 0.1, "identity": 0.05}},
        training={"steps": 4, "batch_size": 16, "learning_rate": 0.001, "max_length": 64, "diagnostics": True,
                  "mc_passes": 2, "mc_examples": 8},
    )  # fmt: skip
    digests = set()
    for ambient in (1, 2):
        torch.manual_seed(ambient)
        worker, cell = cell_of(grid, home, f"results{ambient}")
        assert cell.problem.base is not None
        assert run_base(worker, cell.problem.base, lambda *_: None) == "done"
        assert run_training(worker, cell, lambda *_: None) == "done"
        record = worker.store.record(cell.uid)
        assert record is not None
        assert all(math.isfinite(value) for value in record.summary["metrics"].values())
        digests.add(record.summary["checkpoint"])
    assert len(digests) == 1
    rates = worker.store.frame(cell.uid, "rates").set_index("site")["rate"].to_dict()
    assert rates == {"embedding": 0.1, "attention": 0.1, "sublayer": 0.1, "head": 0.1, "identity": 0.05}
    assert set(worker.store.frame(cell.uid, "diagnostics")["layer"]) == {0, 1}
