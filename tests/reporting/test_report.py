import io
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness.analysis.factorial import ROLES
from harness.reporting.figures import FIGURES, draw
from harness.reporting.notes import footnotes
from harness.reporting.report import write_report
from harness.reporting.tables import escape_latex, escape_markdown, report_tables, to_markdown
from harness.reporting.terminal import print_tables

TABLES = ("claims", "randomness", "effects", "contrasts", "comparisons", "seeds", "generalization", "generation")
TABLES += ("roles", "noise_floor", "published", "cells")
FORMS = {f"{table}.{form}" for table in TABLES for form in ("csv", "md", "tex")}
# The made-up grid names no published number; tests/reporting/test_published_report.py has one.
HERE = [figure for figure in FIGURES if figure != "published"]
DRAWN = {f"{figure}.{form}" for figure in HERE for form in ("svg", "png")}
WORDS = {"index.html", "summary.md", "methods.md", "learning_curves.csv", "dropout_rates.csv"}
# What cannot be drawn without texts.
OF_TEXTS = ("variance_shares", "effect_map", "diversity_by_k")
HOSTILE = "[red]50%_linear|$x$ <b>"


def write(tables, out, regimes, **more):
    return write_report(tables, out, name="quick", reference="none", regimes=regimes, **more)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_file_is_there_and_no_other(report):
    assert set(contents(report)) == FORMS | DRAWN | WORDS


def test_rebuilt_it_is_byte_identical(report, tables, regimes, tmp_path):
    again = tmp_path / "again"
    shuffled = {name: table.sample(frac=1, random_state=8) for name, table in tables.items()}
    later = shuffled["cells"].assign(seconds=9.0, finished="2031-12-31T23:59:59")
    written = write({**shuffled, "cells": later}, again, regimes, notes=["published labels | hidden"])
    first = contents(report)
    assert {path.name for path in written} == set(first)
    assert {name for name, content in contents(again).items() if content != first[name]} == set()


def test_csv_has_every_digit(report, tables, regimes):
    built = report_tables(tables, reference="none", regimes=regimes)["generalization"]
    exact = {"keep_default_na": False, "na_values": [""], "float_precision": "round_trip"}
    read = pd.read_csv(report / "generalization.csv", **exact)
    for column in ("mean", "ci_low", "gap_high", "difference"):
        np.testing.assert_array_equal(read[column].to_numpy(), built[column].to_numpy(dtype=float))


def test_markdown_cells_are_not_broken_by_names(report):
    for name in ("generalization", "generation", "cells"):
        lines = [line for line in (report / f"{name}.md").read_text().splitlines() if line.startswith("|")]
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(lines) > 3
        assert len(bars) == 1
        assert "<b>" not in "".join(lines)


def test_markdown_footnotes(report):
    text = (report / "generalization.md").read_text()
    assert "fewer than 5 training replicates: read the interval, not the mean" in text
    assert "published labels \\| hidden" in text
    assert "regime minus none, paired by training replicate" in text
    assert "left out of the mean" in text
    assert "nats" in text
    assert "perplexity" not in (report / "cells.md").read_text()


def test_what_is_zero_by_construction_is_said(report):
    text = (report / "generation.md").read_text()
    assert not re.search(r"\| 1 +\| 1\.0 +\| replicate-distinctness", text)
    assert "zero by construction and has no row" in text


def test_no_warning_of_few_replicates_where_there_are_enough(tables, regimes):
    once = {name: tables[name][tables[name]["regime"] == "none"] for name in ("training", "cells")}
    more = {
        name: t.assign(uid=t["uid"] + "x", training_replicate=t["training_replicate"] + 3) for name, t in once.items()
    }
    more["training"] = more["training"].assign(**{role: more["training"][role] + 3 for role in ROLES})
    doubled = {name: pd.concat([once[name], more[name]]) for name in once}
    built = report_tables(doubled, reference="none", regimes=regimes)["generalization"]
    assert set(built["n"]) == {6}
    assert not [line for line in footnotes("generalization", built, "none", []) if "fewer than" in line]


def test_an_arm_that_failed_is_in_every_form(report):
    for form in ("csv", "md", "tex"):
        assert "broken" in (report / f"generalization.{form}").read_text()


def test_latex_is_balanced_and_escaped(report):
    text = (report / "generalization.tex").read_text()
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1
    assert re.search(r"(?<!\\)[%#_]", body.replace(r"\textbackslash", "")) is None
    assert r"{[}red]50\%\_linear\textbar{}\$x\$ \textless{}b\textgreater{}" in body
    assert r"\toprule" in body
    assert r"\bottomrule" in body


def test_escapes():
    assert escape_latex('\\~^{}"') == (r"\textbackslash{}\textasciitilde{}\textasciicircum{}\{\}\textquotedbl{}")
    assert escape_latex("[2pt]") == "{[}2pt]"
    assert escape_markdown("a|b\n<i>*c*") == "a\\|b &lt;i&gt;\\*c\\*"


def test_figures_are_real_and_know_no_date(report):
    for figure in HERE:
        svg = (report / f"{figure}.svg").read_text()
        assert svg.rstrip().endswith("</svg>")
        assert "dc:date" not in svg
        assert (report / f"{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_changes_with_its_numbers(tables, regimes):
    built = report_tables(tables, reference="none", regimes=regimes)
    before = draw("generalization_gap", built, regimes)["png"]
    moved = built["generalization"].copy()
    for column in ("gap", "gap_low", "gap_high"):
        moved[column] = moved[column].where(moved["regime"] != "none", moved[column] + 0.02)
    assert draw("generalization_gap", {**built, "generalization": moved}, regimes)["png"] != before


def test_without_texts_the_figure_is_left_out_and_an_old_one_removed(report, tables, regimes, tmp_path):
    shutil.copytree(report, tmp_path, dirs_exist_ok=True)
    said = []
    del tables["generation_metrics"]
    written = write(tables, tmp_path, regimes, say=said.append)
    gone = [name for name in FIGURES if name in OF_TEXTS or name not in HERE]
    assert said == [f"figure {name} is left out: the grid gave nothing to draw" for name in gone]
    left = FORMS | WORDS | {file for file in DRAWN if file.split(".")[0] not in OF_TEXTS}
    assert {path.name for path in written} == set(contents(tmp_path)) == left
    assert "No rows." in (tmp_path / "generation.md").read_text()
    assert "\\begin" not in (tmp_path / "generation.tex").read_text()


def test_a_contradiction_writes_nothing(tables, regimes, tmp_path):
    tables["training"].loc[0, "value"] = math.inf
    with pytest.raises(ValueError, match="is inf"):
        write(tables, tmp_path / "out", regimes)
    assert not (tmp_path / "out").exists()


def test_terminal_shows_names_as_they_are(tables, regimes):
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_tables(report_tables(tables, reference="none", regimes=regimes), console)
    text = console.file.getvalue()
    assert HOSTILE in text
    assert "replicate-distinctness (per prompt)" in text
    assert "test accuracy" in text
    assert "shifted loss" in text
    header = next(line for line in text.splitlines() if "k=1 " in line)
    assert header.index("k=1") < header.index("k=5") < header.index("k=20") < header.index("k=all")
    chosen = tables["training"].query("task == 'toy-sentiment' and regime == 'none' and split == 'test'")
    assert f"{chosen.loc[chosen['metric'] == 'accuracy', 'value'].mean():.2f}" in text


def test_many_cells_become_a_long_table(tables, regimes, tmp_path):
    cells = tables["cells"]
    more = [cells.assign(uid=cells["uid"] + f"-{i}", training_replicate=i, status="missing") for i in range(3, 9)]
    write({**tables, "cells": pd.concat([cells, *more])}, tmp_path, regimes)
    assert r"\begin{longtable}" in (tmp_path / "cells.tex").read_text()
    assert "unfinished grid" in (tmp_path / "generalization.md").read_text()


def test_markdown_of_an_empty_table_says_so():
    empty = pd.DataFrame(columns=["cell", "kind", "status", "reason", "uid"])
    assert "No rows." in to_markdown("cells", empty, "quick: cells", [])


def test_a_store_where_everything_failed_still_gives_a_report(tables, regimes, tmp_path):
    """The store writes an empty table with columns of no type."""
    names = ("training", "generation_metrics", "rates", "history")
    empty = {name: tables[name].iloc[:0].astype(object) for name in names}
    said = []
    write({**empty, "cells": tables["cells"].assign(status="diverged")}, tmp_path, regimes, say=said.append)
    assert len(said) == len(FIGURES)
    assert pd.read_csv(tmp_path / "generalization.csv")["diverged"].tolist() == [3] * 8


def test_tables_are_read_without_the_libraries_that_made_them():
    heavy = ("torch", "transformers", "mlflow", "evaluate", "pytorch_lightning", "matplotlib")
    code = "import sys, harness.reporting.report, harness.reporting.terminal; "
    code += f"sys.exit(sum(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
