"""A user's own scores: what they become in the store's tables, and the one line that every mistake gives."""

from __future__ import annotations

import statistics
from pathlib import Path

import pandas as pd
import pytest
from toolbox import SHARED, needs_shared

from harness.analysis.study import study_of
from harness.errors import UserError
from harness.reporting.build import of_scores, write_scores
from harness.store.scores import load_scores

LONG = """arm, seed, split, metric, value
a, 7, test, accuracy, 0.5
a, 7, train, accuracy, 0.75
a, 9, test, accuracy, 1e-1
a, 9, train, accuracy, 0.9
b, 7, test, accuracy, 0.625
"""
WIDE = "regime,seed,accuracy,loss\na,0,0.5,1\na,1,0.7,2\nb,0,0.4,3\n"
TEXTS = """regime,seed,top_k,temperature,prompt,inference_replicate,metric,value
a,0,1,,p,,distinctness,0
a,0,1,0.7,p,0,length,4
a,0,5,,p,0,length,5
a,0,5,,p,1,length,6
a,0,5,,q,0,length,8
a,0,5,,,0,zipf,1.5
a,0,human,,p,0,length,7
"""


def write(text: str, name: str = "scores.csv") -> Path:
    """A file in the test's own folder, which is the working directory."""
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def test_one_row_a_score() -> None:
    scores = load_scores([write(LONG)])
    training = scores.tables["training"]
    assert scores.regimes == ("a", "b")
    assert training["value"].tolist() == [0.5, 0.75, 0.1, 0.9, 0.625]
    assert training["training_replicate"].tolist() == [7, 7, 9, 9, 7]
    assert set(training["task"]) == {"scores"}
    assert set(training["design"]) == {"joint"}
    for role in ("init", "sample", "order", "mask"):
        assert training[role].tolist() == [7, 7, 9, 9, 7]
    assert scores.tables["cells"]["status"].tolist() == ["done"] * 3
    assert scores.tables["regimes"]["reference"].tolist() == [True, False]
    assert set(scores.tables["regimes"]["kind"]) == {"other"}


def test_a_column_per_metric_is_the_same_as_a_row_per_score() -> None:
    wide = load_scores([write(WIDE)]).tables
    rows = "a,0,accuracy,0.5\na,1,accuracy,0.7\nb,0,accuracy,0.4\na,0,loss,1\na,1,loss,2\nb,0,loss,3\n"
    long = load_scores([write("regime,seed,metric,value\n" + rows)]).tables
    for name, table in wide.items():
        pd.testing.assert_frame_equal(table, long[name])
    assert set(wide["training"]["split"]) == {"test"}


def test_a_mark_and_windows_line_ends_and_quotes_are_read() -> None:
    plain, marked = load_scores([write(WIDE)]).tables, write("")
    marked.write_bytes(b"\xef\xbb\xbf" + WIDE.replace("a,", '"a",').replace("\n", "\r\n").encode() + b"\r\n")
    pd.testing.assert_frame_equal(plain["training"], load_scores([marked]).tables["training"])


def test_scores_of_texts() -> None:
    tables = load_scores([write(TEXTS)]).tables
    metrics = tables["generation_metrics"]
    assert metrics["unit"].tolist() == ["prompt", "text", "text", "text", "text", "set", "text"]
    assert metrics["temperature"].tolist() == [1.0] * 7  # greedy has none
    cells = tables["cells"]
    assert cells["kind"].tolist() == ["training"] + ["generation"] * 4
    assert metrics.loc[0, "uid"] == ""
    assert set(metrics.loc[1:, "uid"]) == set(cells.loc[cells["kind"] == "generation", "uid"])
    assert set(metrics["training_uid"]) == {cells.loc[0, "uid"]}


def test_runs_with_texts_only_have_no_row_in_generalization_but_all_else() -> None:
    scores = load_scores([write(TEXTS)])
    study = study_of(scores.tables, reference="a", regimes=scores.regimes)
    assert study.runs == ()
    lengths = next(block for block in study.texts if block.metric == "length")
    assert lengths.values.shape == (1, 2, 1, 2, 2)
    built = write_scores([write(TEXTS)], Path.cwd()).tables
    assert built["generalization"].empty
    assert built["generation"].query("metric == 'length' and top_k == '1'")["mean"].tolist() == [4.0]


def test_texts_and_splits_in_one_file() -> None:
    lines = "regime,seed,split,top_k,prompt,metric,value\na,0,test,,,loss,1\na,1,test,,,loss,2\na,0,,5,p,length,3\n"
    scores = load_scores([write(lines)])
    assert len(scores.tables["training"]) == 2
    assert scores.tables["generation_metrics"]["inference_replicate"].tolist() == [0]
    study = study_of(scores.tables, reference="a", regimes=scores.regimes)
    assert study.runs[0].values.ravel().tolist() == [1.0, 2.0]


# role columns and the levels of the runs -> design
DESIGNS = {
    "crossed": ("init,order", ["0,0", "0,1", "1,0", "1,1"]),
    "isolated": ("init,order", ["0,0", "1,0", "2,0", "0,1"]),
    "one role": ("init", ["0", "1", "2"]),
}


@pytest.mark.parametrize("case", DESIGNS)
def test_the_design_is_recognised(case: str) -> None:
    columns, runs = DESIGNS[case]
    lines = [f"{regime},{run},{place}" for regime in ("a", "b") for place, run in enumerate(runs)]
    tables = load_scores([write(f"regime,{columns},score\n" + "\n".join(lines))]).tables
    assert set(tables["training"]["design"]) == {"isolated" if case == "isolated" else "crossed"}
    assert tables["training"]["training_replicate"].nunique() == len(runs)
    numbers = tables["training"].groupby("training_replicate")[["init", "sample", "order", "mask"]].nunique()
    assert (numbers == 1).all(axis=None)  # a number means the same levels in every regime


def test_a_crossed_design_that_lacks_a_run_must_say_so() -> None:
    lines = "a,0,0,1{0}\na,0,1,2{0}\na,1,1,3{0}\n"
    with pytest.raises(UserError, match="column design with 'crossed'"):
        load_scores([write("regime,init,order,score\n" + lines.format(""))])
    tables = load_scores([write("regime,init,order,score,design\n" + lines.format(",crossed"))]).tables
    assert set(tables["training"]["design"]) == {"crossed"}


def test_several_files_are_several_tasks_and_the_report_is_the_same_again() -> None:
    paths = [write(WIDE, "one.csv"), write(WIDE, "two.csv")]
    subject = of_scores(paths)
    assert subject.name == "one+two"
    assert set(subject.tables["training"]["task"]) == {"one", "two"}
    first = {path.name: path.read_bytes() for path in write_scores(paths, Path.cwd()).files}
    again = {path.name: path.read_bytes() for path in write_scores(paths, Path("elsewhere")).files}
    assert first == again
    assert b"how many runs failed, is not known" in first["generalization.md"]


def test_what_nobody_knows_is_not_told() -> None:
    """Neither a failure rate nor a cost: a table of scores holds the runs that went well."""
    table = write_scores([write(WIDE)], Path.cwd()).tables["generalization"]
    assert table[["failure_rate", "failure_low", "failure_high", "cost"]].isna().all(axis=None)
    assert table["n"].tolist() == [2, 2, 1, 1]


def test_kinds_of_regimes() -> None:
    lines = "regime,seed,score,regime_kind\na,0,1,none\na,1,1,none\nb,0,2,static\n"
    assert load_scores([write(lines)]).tables["regimes"]["kind"].tolist() == ["none", "static"]


# What is in the file -> what the line must say.
WRONG: dict[str, tuple[str, str]] = {
    "empty": ("", "scores.csv: is empty"),
    "no rows": ("regime,seed,score\n", "has no rows"),
    "semicolons": ("regime;seed;score\na;1;2\n", "line 1: columns are separated by commas"),
    "no regime": ("seed,score\n1,2\n", "has no column 'regime' (or 'arm')"),
    "no replicate": ("regime,score\na,2\n", "needs either one column 'training_replicate' (or 'seed')"),
    "two replicates": ("regime,seed,init,score\na,1,1,2\n", "has training_replicate, init"),
    "a column twice": ("regime,arm,seed,score\na,b,1,2\n", "column 'regime' stands twice"),
    "a column without a name": ("regime,seed,,score\na,1,2,3\n", "line 1: column 3 needs a name"),
    "no scores": ("regime,seed\na,1\n", "has no scores"),
    "no value": ("regime,seed,metric\na,1,loss\n", "has no column 'value'"),
    "an unknown column": (
        "regime,seed,metric,value,splt\na,1,x,2,test\n",
        "unknown column 'splt', did you mean 'split'",
    ),
    "a factor misspelt": ("regime,seed,score,tempreature\na,1,2,1\n", "column 'tempreature' looks like 'temperature'"),
    "a column of the store": ("regime,seed,score,learning_rate\na,1,2,1\n", "'learning_rate' is not read from"),
    "too few fields": ("regime,seed,score\na,1,2\na,2\n", "line 3: has 2 fields, the header has 3"),
    "not a number": ("regime,seed,score\na,1,2\na,2,high\n", "line 3, column score: 'high' is not a finite number"),
    "infinite": ("regime,seed,score\na,1,inf\n", "line 2, column score: 'inf' is not a finite number"),
    "too large to be squared": ("regime,seed,score\na,1,1e200\n", "'1e200' is not a finite number up to 1e100"),
    "a line end in a name": (
        'regime,seed,score\n"a\nb",1,2\n',
        r"column regime: 'a\nb' has a character that is not shown",
    ),
    "a direction mark": ("regime,seed,score\n\u202eb,1,2\n", r"'\u202eb' has a character that is not shown"),
    "a control mark in a metric": ("regime,seed,a\x1b[2J\na,1,2\n", r"column metric: 'a\x1b[2J' has a character"),
    "other digits": ("regime,seed,score\na,\u0661,2\n", "is not a whole number from 0 to 999999999"),
    "empty value": ("regime,seed,score,f1\na,1,2,\n", "line 2, column f1: '' is not a finite number"),
    "a summary row": (
        "regime,seed,score\na,1,2\na,Mean,2\n",
        "line 3, column training_replicate: 'Mean' is not a whole",
    ),
    "an empty name": ("regime,seed,score\n,1,2\n", "line 2, column regime: '' is empty"),
    "a row twice": ("regime,seed,score\na,1,2\nb,1,2\na,1,3\n", "line 4: metric score of regime a is there already"),
    "a gap": (
        "regime,seed,metric,value\na,1,x,2\na,2,x,2\na,2,y,2\n",
        "line 2: this run of scores / unnamed / a has no test.y",
    ),
    "an unquoted mark": ('regime,seed,score\n"a,1,2\n', "cannot be read as a CSV table"),
    "a prompt without top_k": ("regime,seed,score,prompt\na,1,2,p\n", "has column 'prompt' of generated texts, but no"),
    "a wrong top_k": ("regime,seed,len,top_k\na,1,2,0\n", "column top_k: '0' is not a whole number from 1, 'all' or"),
    "greedy with replicates": (
        "regime,seed,len,top_k,prompt,inference_replicate\na,1,2,1,p,1\n",
        "column inference_replicate: '1' must be 0: top_k 1 is greedy",
    ),
    "no temperature": (
        "regime,seed,len,top_k,temperature\na,1,2,5,0\n",
        "'0' is not allowed (above 0; greedy is top_k 1)",
    ),
    "a prompt in a split's row": ("regime,seed,len,top_k,prompt\na,1,2,,p\n", "column prompt: 'p' needs a top_k"),
    "a split in a text's row": ("regime,seed,len,top_k,split\na,1,2,5,test\n", "column split: 'test' must be empty"),
    "neither prompt nor replicate": (
        "regime,seed,len,top_k,inference_replicate\na,1,2,5,\n",
        "may be empty only where a prompt is given",
    ),
    "an unknown kind": (
        "regime,seed,score,regime_kind\na,1,2,big\n",
        "regime a: regime_kind is big (allowed: one of none",
    ),
    "a design that seeds do not have": (
        "regime,seed,score,design\na,1,2,crossed\n",
        "column design holds crossed (allowed: joint)",
    ),
    "an unknown design": (
        "regime,init,score,design\na,1,2,nested\n",
        "column design holds nested (allowed: crossed or isolated",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_one_line(what: str) -> None:
    text, expected = WRONG[what]
    with pytest.raises(UserError) as refusal:
        load_scores([write(text)])
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_files_that_are_not_there_or_not_text() -> None:
    with pytest.raises(UserError, match=r"no\.csv cannot be read as a CSV table"):
        load_scores([Path("no.csv")])
    Path("bytes.csv").write_bytes(b"regime,seed,x\n\xff\xfe,1,2\n")
    with pytest.raises(UserError, match=r"bytes\.csv cannot be read as a CSV table"):
        load_scores([Path("bytes.csv")])
    with pytest.raises(UserError, match="another has role columns"):
        load_scores([write(WIDE), write("regime,init,accuracy\na,0,1\n", "roles.csv")])


@needs_shared
def test_one_hundred_published_fine_tunings() -> None:
    """McCoy, Min and Linzen 2020 (BERTs of a feather, arXiv 1911.02969): MNLI .8434 (sd .0024), HANS .2766 (.1236)."""
    file = SHARED / "data" / "hans_bert_runs" / "berts_of_a_feather_accuracies_by_run.csv"
    if not file.is_file():
        pytest.skip("the published accuracies are not beside this checkout")
    with pytest.raises(UserError, match="has no column 'regime'"):
        load_scores([file])
    table = pd.read_csv(file, encoding="utf-8-sig")
    table = table.rename(columns={"Run": "seed"}).assign(regime="bert-base")
    table["seed"] = table["seed"].str.removeprefix("Run ")
    table.to_csv("hans.csv", index=False)
    with pytest.raises(UserError, match=r"line \d+, column training_replicate: '\w+' is not a whole number"):
        load_scores([Path("hans.csv")])  # minimum, maximum, mean and sd stand below the runs
    runs = table[table["seed"].str.fullmatch(r"\d+")]
    runs.to_csv("hans.csv", index=False)
    found = write_scores([Path("hans.csv")], Path.cwd()).tables["generalization"].set_index("metric")
    for metric, mean, sd in (("MNLI dev acc.", 0.8434, 0.0024), ("Lexical (nonent)", 0.2766, 0.1236)):
        assert found.loc[metric, "n"] == 100
        assert round(found.loc[metric, "mean"], 4) == mean
        assert round(found.loc[metric, "sd"], 4) == sd
        assert found.loc[metric, "mean"] == pytest.approx(statistics.fmean(runs[metric]), rel=1e-14)


def test_a_report_of_scores_says_nothing_about_how_the_runs_were_made() -> None:
    lines = [
        f"{arm},{kind},{seed},{0.5 + seed / 7}" for arm, kind in (("a", "none"), ("b", "static")) for seed in (0, 1)
    ]
    built = write_scores([write("regime,regime_kind,seed,accuracy\n" + "\n".join(lines))], Path.cwd())
    claims = built.tables["claims"].query("kind == 'by construction'")
    assert set(claims["verdict"]) == {"not applicable"}
    assert claims["note"].str.contains("a user's own scores").all()
    assert "Dropout is off" not in (Path.cwd() / "reports" / "scores" / "methods.md").read_text()
