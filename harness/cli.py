"""The only door. One plain function per command; nothing heavy is imported until a command needs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.spec.expand import Expansion
    from harness.store import Store

app = typer.Typer(
    name="twodice",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which die made this number? Separates training-time from inference-time randomness.",
)

GridName = Annotated[str, typer.Argument(metavar="GRID", help="name of a shipped grid, or a YAML file")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="folder of real data sets (or TWODICE_DATA)")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="change a key of the grid: training.epochs=1")]


def main() -> None:
    """Entry point: a mistake in the input is one line and exit code 2, never a traceback."""
    from harness.errors import CellError, UserError

    try:
        app()
    except (UserError, CellError) as error:
        print(f"twodice: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # the disk is full, a folder is read-only or is a file
        print(f"twodice: {error}; finished cells are kept", file=sys.stderr)
        sys.exit(2)


@app.command()
def plan(grid: GridName, data: DataFolder = None, set_: Overrides = None) -> None:
    """Print the cells of GRID: what is done, what is missing and why."""
    from harness.analysis.pilot import design_lines, pilot_lines
    from harness.store.plan import summary

    expansion, store = _expand(grid, data, set_)
    console = _console()
    for part in summary(expansion, store):
        console.print(part)
    for lines in (design_lines(expansion.grid), pilot_lines(expansion.grid, store.root)):
        for line in lines:
            console.print(line, markup=False, highlight=False)


@app.command()
def run(
    grid: GridName,
    data: DataFolder = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="worker processes; default: all cores")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="task=, model= or regime=PATTERN")] = None,
    set_: Overrides = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="stop at the first failed cell")] = False,
) -> None:
    """Run what is missing of GRID, then write its tables, report and tracking."""
    from harness.executors.progress import Progress
    from harness.executors.run import Runner
    from harness.reporting.terminal import print_tables
    from harness.spec.load import load_grid
    from harness.store import home

    console = _console()
    loaded = load_grid(grid, set_)
    with Progress(console) as progress:
        runner = Runner(
            loaded,
            home(),
            _data(data),
            jobs or os.cpu_count() or 1,
            only or (),
            fail_fast,
            progress.listen,
            progress.started,
            lambda line: console.print(line, markup=False, highlight=False),
        )
        try:
            outcome = runner.run()
        except KeyboardInterrupt:
            print("\nstopped; finished cells are kept, `twodice run` goes on from here", file=sys.stderr)
            raise typer.Exit(130) from None
    print_tables(outcome.built, console)
    paths = {
        "report": runner.report_folder,
        "tables": runner.folder / "tables",
        "MLflow": f"{runner.results / 'mlflow.db'} (twodice ui)",
    }
    for name, path in paths.items():
        print(f"{name}: {path}")
    print("cells: " + ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items())))
    if outcome.tracking:
        print("tracking is incomplete; the store is complete", file=sys.stderr)
    for name, reason in outcome.failed:
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def status(grid: GridName, data: DataFolder = None, set_: Overrides = None) -> None:
    """Print how many cells of GRID have which status, and why some failed."""
    from harness.executors.run import describe
    from harness.store.tables import cell_state, count_by_status

    expansion, store = _expand(grid, data, set_)
    states = [(cell, *cell_state(cell, store)) for cell in expansion.unique]
    for kind in dict.fromkeys(cell.kind for cell, _, _ in states):
        counts = count_by_status(state for cell, state, _ in states if cell.kind == kind)
        print(f"{kind}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    for problem, regime in expansion.pending:
        print(f"pending: {problem.label} {problem.model.name} {regime.name}: its learning rate is selected first")
    for cell, state, reason in states:
        if state in ("error", "diverged"):
            print(f"{state}: {describe(cell)} ({cell.uid}): {reason}")


@app.command()
def report(
    grids: Annotated[list[str] | None, typer.Argument(metavar="GRID...", help="shipped grids or YAML files")] = None,
    data: DataFolder = None,
    stores: Annotated[
        list[Path] | None, typer.Option("--store", metavar="DIR", help="a further results folder, of another machine")
    ] = None,
    scores: Annotated[
        list[Path] | None, typer.Option("--scores", metavar="FILE", help="your own scores (CSV) instead of grids")
    ] = None,
    out: Annotated[str, typer.Option("--out", metavar="NAME", help="folder below reports/; default the names")] = "",
    set_: Overrides = None,
) -> None:
    """Write the report of GRIDs from what is stored, or of your own scores, and print its main tables."""
    from harness.errors import UserError
    from harness.reporting.build import of_grids, write, write_scores
    from harness.reporting.terminal import print_tables
    from harness.spec.expand import expand
    from harness.spec.load import load_grid
    from harness.store import home
    from harness.store.merge import joined

    if bool(grids) == bool(scores):
        raise UserError("report: give either grids, or score tables with --scores FILE")
    if scores:
        if stores or set_:
            raise UserError("report: --store and --set are for grids; --scores FILE has no cells")
        built = write_scores(scores, home(), out)
    else:
        store, folder = joined(home() / "results", stores or ()), _data(data)
        expansions = [expand(load_grid(grid, set_), store, folder) for grid in grids or ()]
        built = write(of_grids(expansions, store), home(), out)
    print_tables(built.tables, _console())
    for file in built.files:
        print(file)


@app.command()
def show(cell: Annotated[str, typer.Argument(metavar="CELL", help="a cell's uid, or its first digits")]) -> None:
    """Print everything about one cell: status, identity, environment, metrics, files."""
    from harness.store import Store, home
    from harness.store.show import lines

    for line in lines(Store(home() / "results"), cell):
        print(line)


@app.command()
def verify(
    grid: GridName,
    data: DataFolder = None,
    cell: Annotated[str | None, typer.Option("--cell", metavar="UID", help="only the cell that starts so")] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="so many training cells, with texts")] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="relative or absolute, for floats")] = 1e-5,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="worker processes; default: all cores")
    ] = None,
    set_: Overrides = None,
) -> None:
    """Run the stored cells of GRID again and say whether each is bitwise equal; the store stays as it is."""
    from harness.executors.progress import Progress
    from harness.executors.verify import Verifier, last_line
    from harness.spec.load import load_grid
    from harness.store import home

    console = _console()
    verifier = Verifier(
        load_grid(grid, set_), home(), _data(data), jobs or os.cpu_count() or 1, cell, sample, tolerance,
        say=lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
    )  # fmt: skip
    with Progress(console) as progress:
        if console.is_terminal:  # elsewhere the verdicts alone tell how far it is
            verifier.started, verifier.listen = progress.started, progress.listen
        try:
            verdicts = verifier.verify()
        except KeyboardInterrupt:
            print("\nstopped; the store is as it was", file=sys.stderr)
            raise typer.Exit(130) from None
    print(last_line(verdicts, tolerance))
    if not all(verdict.good for verdict in verdicts):
        raise typer.Exit(1)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="tasks|regimes|schedules|models|metrics|grids|claims")],
) -> None:
    """List what a grid file may name."""
    from harness.errors import UserError, nearest
    from harness.spec.catalogue import CATALOGUE

    if what not in CATALOGUE:
        raise UserError(f"list: unknown '{what}'{nearest(what, list(CATALOGUE))}")
    from rich.table import Table
    from rich.text import Text

    heads, rows = CATALOGUE[what]()
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    _console().print(table)


@app.command()
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="port on this machine")] = 5000) -> None:
    """Open the MLflow UI on the local store, for this machine only (127.0.0.1)."""
    from harness.errors import UserError
    from harness.store import home
    from harness.tracking.mirror import local_uri
    from harness.tracking.server import serve

    results = home() / "results"
    if not (results / "mlflow.db").is_file():
        raise UserError(f"{results / 'mlflow.db'} does not exist yet: `twodice run GRID` makes it")
    raise typer.Exit(serve(local_uri(results), port))


def _expand(grid: str, data: Path | None, overrides: list[str] | None) -> tuple[Expansion, Store]:
    from harness.spec.expand import expand
    from harness.spec.load import load_grid
    from harness.store import Store, home

    store = Store(home() / "results")
    return expand(load_grid(grid, overrides), store, _data(data)), store


def _data(given: Path | None) -> Path | None:
    """The data folder of --data or TWODICE_DATA; a grid's model paths may name it as ${TWODICE_DATA}."""
    from harness.errors import UserError

    text = str(given) if given is not None else os.environ.get("TWODICE_DATA")
    if not text:
        return None
    folder = Path(text).resolve()
    if not folder.is_dir():
        raise UserError(f"data folder {folder} does not exist (--data or TWODICE_DATA)")
    os.environ["TWODICE_DATA"] = str(folder)
    return folder


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160)


if __name__ == "__main__":
    main()
