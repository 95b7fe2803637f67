"""Computing the generation cells of one checkpoint, all in one pass, and putting them into the store."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import torch

from harness.data.encode import conditional_prompts, stream_prompts
from harness.errors import CellError
from harness.inference.engine import generate
from harness.inference.probe import row_independence
from harness.regimes.sites import install
from harness.request import Generated, Prompt
from harness.spec.cells import GenerationCell, TrainingCell
from harness.store import Store
from harness.training.cells import Worker, prepare_process, save_record
from harness.training.inputs import Inputs, Stream
from harness.training.model import load_model


def stored_model(store: Store, cell: TrainingCell, inputs: Inputs) -> Any:
    """The selected model of a finished training cell.

    Raises:
        CellError: its checkpoint is not there or is damaged.
    """
    from harness.store.store import damaged

    record, folder = store.record(cell.uid), store.folder(cell.uid)
    if record is None or not (folder / "checkpoint").is_dir():
        raise CellError(f"training cell {cell.uid} has no checkpoint")
    broken = damaged(folder, record)
    if broken:
        raise CellError(f"{folder / broken} is not what was written (checksum); delete its folder and run again")
    model = load_model(cell.problem, inputs, folder / "checkpoint", "causal", cell.streams, cell.training.attention)
    if cell.regime.structural:
        # Such a mechanism is a part of the model in eval mode too, and a checkpoint holds weights only.
        model.config.model_type = cell.problem.model.family  # the stored one names the mechanism, too
        rates = {name: cell.regime.channels[name].schedule.rate(0, 1) for name in cell.regime.structural}
        install(model, cell.regime).set(rates)
    return model.to(torch.device(cell.problem.device))


def prompts_for(cell: GenerationCell, inputs: Inputs) -> list[Prompt]:
    """The prompts of a generation cell: from the test split, spread evenly."""
    split, decoding = inputs.splits["test"], cell.decoding
    if isinstance(split, Stream):
        return stream_prompts(split.ids, inputs.tokenizer, decoding.prompts, decoding.prompt_tokens)
    return conditional_prompts(inputs.data.splits["test"], inputs.tokenizer, decoding.prompts)


def run_generation(worker: Worker, cells: list[GenerationCell], model: Any, inputs: Inputs) -> None:
    """Generates and stores all given cells of one checkpoint; they share their prompts and lengths."""
    started = time.monotonic()
    first = cells[0]
    problem = first.parent.problem
    prepare_process(problem.device)
    probe = row_independence(model)
    texts = generate(
        model,
        prompts_for(first, inputs),
        list(dict.fromkeys(cell.setting for cell in cells)),
        sorted({cell.level for cell in cells}),
        seed=problem.seed,
        max_new_tokens=first.decoding.max_new_tokens,
        eos_token_id=inputs.special.eos,
    )
    share = (time.monotonic() - started) / len(cells)
    for cell in cells:
        mine = [text for text in texts if text.setting == cell.setting and text.level == cell.level]
        _save(worker, cell, mine, inputs, probe, time.monotonic() - share)


def _save(
    worker: Worker, cell: GenerationCell, texts: list[Generated], inputs: Inputs, probe: bool, started: float
) -> None:
    frames = {"generations": _texts_frame(texts, inputs)}
    summary = {"rows_independent": probe, "texts": len(texts)}
    save_record(worker.store, cell, "done", started, summary=summary, frames=frames)


def _texts_frame(texts: list[Generated], inputs: Inputs) -> pd.DataFrame:
    rows = [
        {
            "prompt": text.prompt.id,
            "prompt_text": text.prompt.text,
            "text": inputs.tokenizer.decode(list(text.token_ids), skip_special_tokens=False),
            "token_ids": list(text.token_ids),
            "logprobs": list(text.logprobs),
            "sampling_logprobs": list(text.sampling_logprobs),
            "finished": text.finished,
        }
        for text in texts
    ]
    return pd.DataFrame(rows)
