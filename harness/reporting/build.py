"""From stored cells, or a user's own scores, to a report: the one way for both `run` and `report`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.identity import canonical
from harness.reporting.grid_notes import grid_notes
from harness.reporting.report import to_stderr, write_report
from harness.reporting.tables import report_tables
from harness.spec.expand import Expansion
from harness.spec.grid import NAME, RESERVED
from harness.spec.merge import merged
from harness.spec.published import published_numbers
from harness.spec.published_forms import PublishedNumber
from harness.store import Store
from harness.store.measures import TextMeasures
from harness.store.scores import load_scores
from harness.store.tables import build_tables, write_tables


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Attributes:
        name, description: for titles.
        tables: the store's tables.
        regimes, reference: as `write_report` has them.
        seed: the study seed; every draw of the analysis follows from it.
        published: the published numbers that the grids name.
        notes: what a reader must know.
        environments: of the stored cells, each once, in an order that the store decides.
        own_runs: whether twodice made the runs.
        resolve: the differences by metric that the grids want to see.
    """

    name: str
    tables: Mapping[str, pd.DataFrame]
    regimes: tuple[str, ...]
    reference: str
    seed: int = 0
    description: str = ""
    published: tuple[PublishedNumber, ...] = ()
    notes: tuple[str, ...] = ()
    environments: tuple[Mapping[str, str], ...] = ()
    own_runs: bool = True
    resolve: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """A report that is written.

    Attributes:
        tables: the report's tables, unrounded.
        files: of the report, in the order of writing.
    """

    tables: dict[str, pd.DataFrame]
    files: list[Path]


def of_grids(expansions: Sequence[Expansion], store: Store, measures: TextMeasures | None = None) -> Subject:
    """The stored cells of one or more grids.

    Args:
        expansions: of the grids, in the user's order; the first one's reference regime is that of the report.
        store: holds the cells.
        measures: see `build_tables`.

    Raises:
        UserError: the grids cannot be merged.
        CellError: a stored cell is damaged.
    """
    expansion = merged(expansions)
    grid = expansion.grid
    numbers = [number for one in expansions for number in published_numbers(one.grid)]
    return Subject(
        grid.name,
        build_tables(expansion, store, measures),
        tuple(grid.regimes),
        grid.reference_regime,
        seed=grid.seed,
        description=grid.description,
        published=tuple(number for place, number in enumerate(numbers) if number not in numbers[:place]),
        notes=tuple(grid_notes(expansion, store)),
        environments=_environments(expansion, store),
        resolve=dict(grid.resolve),
    )


def of_scores(paths: Sequence[Path]) -> Subject:
    """A user's own scores; the regime of the first row is the reference.

    Raises:
        UserError: see `load_scores`.
    """
    scores = load_scores(paths)
    name, files = "+".join(path.stem for path in paths), ", ".join(path.name for path in paths)
    note = (
        f"scores from {files}: how they were made, and how many runs failed, is not known here; the same replicate in"
        " two regimes is taken for a pair"
    )
    return Subject(name, scores.tables, scores.regimes, scores.regimes[0], notes=(note,), own_runs=False)


def write(subject: Subject, root: Path, out: str = "", say: Callable[[str], None] = to_stderr) -> Built:
    """Writes the store's tables to `results/<out>/tables` and the report to `reports/<out>`.

    Args:
        subject: what it is about.
        root: the folder of `results/` and `reports/`.
        out: name of the folders; default the subject's name.
        say: takes one line for each figure that has nothing to draw.

    Raises:
        UserError: the name is not one of a folder.
        ValueError: the tables contradict themselves.
        OSError: a folder cannot be written.
    """
    name = _folder(out or subject.name)
    write_tables(dict(subject.tables), root / "results" / name / "tables")
    reference, regimes, published = subject.reference, list(subject.regimes), subject.published
    built = report_tables(
        subject.tables, reference=reference, regimes=regimes, published=published, seed=subject.seed,
        resolve=subject.resolve,
    )  # fmt: skip
    files = write_report(
        subject.tables,
        root / "reports" / name,
        name=subject.name,
        description=subject.description,
        reference=reference,
        regimes=regimes,
        notes=subject.notes,
        published=published,
        environments=subject.environments,
        own_runs=subject.own_runs,
        say=say,
        seed=subject.seed,
        built=built,
    )
    return Built(built, files)


def _folder(name: str) -> str:
    if not re.fullmatch(NAME, name) or name in RESERVED:
        raise UserError(
            f"--out: '{name}' cannot name a folder of results and reports (allowed: at most 80 letters, digits and"
            f" _.+-, and not one of {', '.join(RESERVED)}); give another name with --out"
        )
    return name


def write_scores(paths: Sequence[Path], root: Path, out: str = "") -> Built:
    """The report of a user's own scores; see `write`.

    Raises:
        UserError: a file is wrong, or what it holds contradicts itself.
    """
    subject = of_scores(paths)
    try:
        return write(subject, root, out)
    except ValueError as error:
        raise UserError(f"--scores: {' '.join(str(error).split())}") from error


def _environments(expansion: Expansion, store: Store) -> tuple[Mapping[str, str], ...]:
    """The environments of all stored cells, each once."""
    records = [store.record(cell.uid) for cell in expansion.unique]
    found = {canonical(dict(record.versions)): record.versions for record in records if record and record.versions}
    return tuple(found[key] for key in sorted(found))
