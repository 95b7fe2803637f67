"""`twodice report` as a user types it: several grids and folders, own scores, and one line for every mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import main

Command = Callable[..., tuple[int, str, list[str]]]
SCORES = "regime,seed,accuracy\na,0,0.5\na,1,0.7\nb,0,0.4\nb,1,0.45\n"


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `twodice report` in this process; gives the exit code, what it printed, and the lines of its errors."""

    def run(*arguments: str) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["twodice", "report", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err.strip().splitlines()

    return run


def grid(folder: Path, **changes: Any) -> str:
    (folder / f"{changes['name']}.yaml").write_text(yaml.safe_dump(changes, sort_keys=False))
    return f"{changes['name']}.yaml"


def test_scores_are_reported_where_the_user_says(home: Path, report: Command) -> None:
    (home / "mine.csv").write_text(SCORES)
    code, printed, _ = report("--scores", "mine.csv")
    assert code == 0
    assert str(home / "reports" / "mine" / "generalization.csv") in printed
    assert "test accuracy" in printed
    table = (home / "reports" / "mine" / "generalization.csv").read_bytes()
    assert report("--scores", "mine.csv", "--out", "else")[0] == 0
    assert (home / "reports" / "else" / "generalization.csv").read_bytes() == table


def test_grids_of_one_home_are_reported_together(
    tiny: Callable[..., dict[str, Any]], home: Path, report: Command
) -> None:
    """Nothing has run yet: every cell of both is missing, and the tables say so."""
    one = grid(home, **tiny(name="one", regimes={"none": {}}))
    two = grid(home, **tiny(name="two", regimes={"standard-0.1": {"all": 0.1}}))
    (home / "far" / "cells").mkdir(parents=True)
    code, printed, _ = report(one, two, "--store", "far")
    assert code == 0
    assert str(home / "reports" / "one+two" / "cells.csv") in printed
    cells = (home / "reports" / "one+two" / "cells.csv").read_text()
    assert cells.count("missing") == 4


# arguments -> what the one line must name
REFUSED = {
    "nothing": ((), "give either grids, or score tables"),
    "both": (("one.yaml", "--scores", "mine.csv"), "give either grids, or score tables"),
    "scores and a store": (("--scores", "mine.csv", "--store", "far"), "--store and --set are for grids"),
    "a folder that is none": (("one.yaml", "--store", "nowhere"), "--store nowhere: no results folder"),
    "one grid twice": (("one.yaml", "one.yaml"), "two grids have the name 'one'"),
    "grids that differ": (("one.yaml", "other.yaml"), "seed is 5 in one and 6 in other"),
    "a reserved name": (("--scores", "mine.csv", "--out", "cells"), "'cells' cannot name a folder"),
    "a name with a path": (("--scores", "mine.csv", "--out", "../x"), "'../x' cannot name a folder"),
    "no file": (("--scores", "no.csv"), "no.csv cannot be read as a CSV table (No such file or directory)"),
    "a folder": (("--scores", "far"), "far cannot be read as a CSV table (Is a directory)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_wrong_arguments_are_one_line(
    tiny: Callable[..., dict[str, Any]], home: Path, report: Command, what: str
) -> None:
    grid(home, **tiny(name="one"))
    grid(home, **tiny(name="other", seed=6))
    (home / "mine.csv").write_text(SCORES)
    (home / "far").mkdir()
    arguments, expected = REFUSED[what]
    code, _, lines = report(*arguments)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("twodice: ")
    assert expected in lines[0]


# What a score table holds -> what the one line must name. (tests/store/test_scores.py has the rest.)
MALFORMED = {
    "nothing": ("", "is empty"),
    "a header only": ("regime,seed,x\n", "has no rows"),
    "tabs": ("regime\tseed\tx\na\t0\t1\n", "columns are separated by commas"),
    "no regime": ("seed,x\n0,1\n", "'regime' (or 'arm')"),
    "no replicate": ("regime,x\na,1\n", "'training_replicate' (or 'seed')"),
    "no metric": ("regime,seed,value\na,0,1\n", "has no column 'metric'"),
    "a text for a number": ("regime,seed,x\na,0,one\n", "line 2, column x: 'one' is not a finite number"),
    "nan": ("regime,seed,x\na,0,nan\n", "line 2, column x: 'nan' is not a finite number"),
    "infinity": ("regime,seed,x\na,0,1\na,1,-inf\n", "line 3, column x: '-inf' is not a finite number"),
    "a negative seed": ("regime,seed,x\na,-1,1\n", "line 2, column training_replicate: '-1' is not a whole number"),
    "a summary": ("regime,seed,x\na,0,1\na,SD,1\n", "leave out rows as Mean"),
    "one row twice": ("regime,seed,x\na,0,1\na,0,1\n", "line 3: metric x of regime a is there already"),
    "a short row": ("regime,seed,x\na,0\n", "line 2: has 2 fields, the header has 3"),
    "a typing error": ("regime,seed,x,promt\na,0,1,p\n", "column 'promt' looks like 'prompt'"),
    "a gap": ("arm,seed,metric,value\na,0,x,1\na,1,x,1\na,1,y,1\n", "has no test.y"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_scores_are_one_line(home: Path, report: Command, what: str) -> None:
    text, expected = MALFORMED[what]
    (home / "mine.csv").write_text(text)
    code, _, lines = report("--scores", "mine.csv")
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("twodice: mine.csv")
    assert expected in lines[0]
    assert not (home / "reports").exists()
