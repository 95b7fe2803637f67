"""Computing the generation cells of one checkpoint, all in one pass, and putting them into the store."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch

from harness.data.prompts import Asked
from harness.errors import CellError
from harness.identity import uid
from harness.inference.chunks import batch_rows
from harness.inference.engine import Row, flips, generate_rows
from harness.inference.probe import row_independence
from harness.inference.scoring import Judging, human_texts
from harness.regimes.sites import install
from harness.request import Generated, Prompt
from harness.spec.cells import GenerationCell, TrainingCell
from harness.spec.checks import prompts_of
from harness.store import Store
from harness.store.cache import TextCache
from harness.training.cells import Worker, prepare_process, save_record
from harness.training.inputs import Inputs
from harness.training.model import load_model

# Where a row's bits depend on its neighbours, every forward has this many rows, or as many as fit.
FIXED_ROWS = 512


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


@dataclass
class Pass:
    """One pass over a checkpoint.

    Attributes:
        cells: of this checkpoint; they share their prompts and lengths.
        model: of this checkpoint.
        inputs: of its problem.
        asked: prompts and human texts.
        facts: what the summary of sampled cells says of the pass.
    """

    cells: Sequence[GenerationCell]
    model: Any
    inputs: Inputs
    asked: Sequence[Asked]
    facts: dict[str, Any] = field(default_factory=dict)

    def texts(self, known: Mapping[str, Mapping[str, Generated]]) -> dict[str, list[Generated]]:
        """The texts of every cell, by its uid, in the order of the prompts.

        Args:
            known: texts that are stored already, by cell and prompt id.
        """
        sampled = [cell for cell in self.cells if not cell.setting.human]
        people = [cell for cell in self.cells if cell.setting.human]
        found = self._sampled(sampled, known) if sampled else {}
        return found | human_texts(self.model, people, self.asked, self.inputs.special.eos)

    def _sampled(
        self, cells: Sequence[GenerationCell], known: Mapping[str, Mapping[str, Generated]]
    ) -> dict[str, list[Generated]]:
        wanted = {
            cell.uid: [Row(one.prompt, cell.setting, cell.level) for one in self.asked if one.prompt.id not in have]
            for cell in cells
            for have in [known[cell.uid]]
        }
        request = self._request(sum(map(len, wanted.values())))
        rows = [row for mine in wanted.values() for row in mine]
        drawn = dict(zip(rows, generate_rows(self.model, rows, **request), strict=True))
        found = {}
        for cell in cells:
            mine = {**known[cell.uid], **{row.prompt.id: drawn[row] for row in wanted[cell.uid]}}
            found[cell.uid] = [mine[one.prompt.id] for one in self.asked]
        if not self.facts["rows_independent"]:
            texts = [text for mine in found.values() for text in mine]
            count, differing = flips(self.model, texts, **request)
            self.facts["flips"] = {"texts": count, "differing": differing}
        return found

    def _request(self, rows: int) -> dict[str, Any]:
        """Arguments of the engine; probes first whether rows are independent, also where all texts are known."""
        first = self.cells[0]
        longest = max(len(one.prompt.token_ids) for one in self.asked)
        most = batch_rows(self.model, longest + first.decoding.max_new_tokens)
        batch = min(max(1, rows), most)
        independent = row_independence(self.model, rows=batch, length=longest)
        self.facts = {"rows_independent": independent, "pass": uid({"cells": sorted(one.uid for one in self.cells)})}
        return {
            "seed": first.parent.problem.seed,
            "max_new_tokens": first.decoding.max_new_tokens,
            "eos_token_id": self.inputs.special.eos,
            "fixed_rows": None if independent else min(FIXED_ROWS, most),
        }


def run_generation(worker: Worker, cells: list[GenerationCell], model: Any, inputs: Inputs) -> None:
    """Generates and stores all given cells of one checkpoint; they share their prompts and lengths."""
    started = time.monotonic()
    first = cells[0]
    prepare_process(first.parent.problem.device)
    asked = prompts_of(first.decoding, inputs.data, inputs.tokenizer)
    record = worker.store.record(first.parent.uid)
    checkpoint = str(record.summary["checkpoint"]) if record is not None else ""
    cache = TextCache(worker.store)
    known = {cell.uid: _known(cell, cache, checkpoint, asked) for cell in cells}
    for reason in cache.damaged.values():
        print(f"texts are not taken from a damaged cell: {reason}", file=sys.stderr)
    judging = Judging(worker, cells, inputs)
    work = Pass(cells, model, inputs, asked)
    texts = work.texts(known)
    frames = {cell.uid: {"generations": _texts_frame(texts[cell.uid], inputs)} for cell in cells}
    judging.add_to(frames, texts, asked)
    share = (time.monotonic() - started) / len(cells)
    for cell in cells:
        reused = len(known[cell.uid])
        summary = {
            **({} if cell.setting.human else work.facts),
            "texts": len(texts[cell.uid]),
            "generated": 0 if cell.setting.human else len(texts[cell.uid]) - reused,
            "configuration": {**cell.configuration, "eos_token_id": inputs.special.eos},
        }
        save_record(worker.store, cell, "done", time.monotonic() - share, summary=summary, frames=frames[cell.uid])
        cache.remember(cell, checkpoint)


def _known(cell: GenerationCell, cache: TextCache, checkpoint: str, asked: Sequence[Asked]) -> dict[str, Generated]:
    """The texts of a cell that are stored already, by prompt id."""
    stored = cache.texts(cell, checkpoint)
    return {one.prompt.id: _stored(cell, one.prompt, stored[one.prompt.id]) for one in asked if one.prompt.id in stored}


def _stored(cell: GenerationCell, prompt: Prompt, row: Mapping[str, Any]) -> Generated:
    return Generated(
        prompt,
        cell.setting,
        cell.level,
        tuple(map(int, row["token_ids"])),
        tuple(map(float, row["logprobs"])),
        tuple(map(float, row["sampling_logprobs"])),
        bool(row["finished"]),
    )


def _texts_frame(texts: Sequence[Generated], inputs: Inputs) -> pd.DataFrame:
    decoded = inputs.tokenizer.decode_batch([list(text.token_ids) for text in texts], skip_special_tokens=False)
    columns: dict[str, list[Any]] = {
        "prompt": [text.prompt.id for text in texts],
        "prompt_text": [text.prompt.text for text in texts],
        "text": decoded,
        "token_ids": [list(text.token_ids) for text in texts],
        "logprobs": [list(text.logprobs) for text in texts],
        "sampling_logprobs": [list(text.sampling_logprobs) for text in texts],
        "finished": [text.finished for text in texts],
    }
    return pd.DataFrame(columns)
