"""Sampled texts by content: rows that some cell of the same checkpoint has already are not generated again.

A text is a pure function of checkpoint, prompt, setting and level (harness/inference/engine.py), so a grid with more
prompts takes the old ones' texts from the cells that it had before. What is kept here are names of cells only, below
`results/texts/<key>/`; the texts are read from the cells themselves, with their checksums.
"""

from __future__ import annotations

from typing import Any

from harness.errors import CellError
from harness.identity import STAGE_VERSIONS, Identity, environment_digest, uid
from harness.spec.cells import GenerationCell
from harness.store.store import Store

StoredText = dict[str, Any]


class TextCache:
    """The texts below one results folder.

    Attributes:
        damaged: cells whose texts could not be used, with the reason; whoever asks tells it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._root = store.root / "texts"
        self.damaged: dict[str, str] = {}

    def texts(self, cell: GenerationCell, checkpoint: str) -> dict[str, StoredText]:
        """Stored texts that a cell may use, by prompt id; each with the columns of the table `generations`.

        Args:
            cell: what is to be generated.
            checkpoint: digest of the weights that it would be generated from.
        """
        if cell.parent.repeat or cell.setting.human:
            return {}  # a repeat asks whether the same texts come again; human texts are only scored
        folder = self._root / uid(_key(cell, checkpoint))
        found: dict[str, StoredText] = {}
        for name in sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []:
            if name == cell.uid:
                continue
            try:
                found |= self._of(name)
            except CellError as error:  # another cell's damage costs this one a shortcut only
                self.damaged[name] = str(error)
        return found

    def _of(self, name: str) -> dict[str, StoredText]:
        record = self._store.record(name)
        if record is None or record.status != "done":
            return {}
        rows = self._store.frame(name, "generations").to_dict("records")
        return {row["prompt"]: {str(key): value for key, value in row.items()} for row in rows}

    def remember(self, cell: GenerationCell, checkpoint: str) -> None:
        """Notes that a stored cell has texts of a checkpoint.

        Raises:
            CellError: the note cannot be written.
        """
        if cell.parent.repeat or cell.setting.human:
            return
        folder = self._root / uid(_key(cell, checkpoint))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / cell.uid).touch()
        except OSError as error:
            raise CellError(f"{folder} cannot be written ({error.strerror})") from None


def _key(cell: GenerationCell, checkpoint: str) -> Identity:
    """Everything but the prompt that a text depends on: cells may share it across training cells and grids."""
    problem = cell.parent.problem
    described = cell.parent.regime.describe()
    return {
        "version": STAGE_VERSIONS["generation"],
        "checkpoint": checkpoint,
        # A structural mechanism is a part of the model that its weights do not tell.
        "structure": {name: described[name] for name in cell.parent.regime.structural},
        "shape": problem.model.describe(),
        "tokenizer": problem.tokenizer,
        "attention": cell.parent.training.attention,
        "device": problem.device,
        "precision": problem.precision,
        "seed": problem.seed,
        "configuration": cell.configuration,
        "decode": cell.level,
        "environment": environment_digest(),
    }
