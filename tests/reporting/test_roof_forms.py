"""The tables of the roof in their readable forms: golden rows, both units, and what is said below them."""

import re

import numpy as np
import pandas as pd
import pytest
from roof_tables import NINE, PROBLEMS, roof

from harness.reporting.headline import headline, judged, not_shown
from harness.reporting.notes import footnotes
from harness.reporting.numbers import ends, p_value, percent
from harness.reporting.randomness import COUNTS
from harness.reporting.row_notes import common_notes
from harness.reporting.tables import readable, to_latex, to_markdown

NAMES = ("randomness", "contrasts", "comparisons", "effects", "seeds", "claims")
HOSTILE = "50%_linear|$x$ <b>"


@pytest.fixture(scope="module")
def tables():
    return roof()


def notes(name, table):
    return footnotes(name, table, "none", ["the task's own note"])


def dice(component, **numbers):
    """One part of one arm."""
    own = {"task": "t", "model": "m", "regime": "none", "split": "", "top_k": "5", "temperature": 1.0, "top_p": 1.0}
    own |= {"min_p": 0.0, "metric": "nll", "unit": "text", "component": component, "head": True, "n_training": 8}
    own |= {"n_prompts": 24, "n_inference": 4, "design": "joint", "method": "moments", "note": ""}
    return {**own, "variance": 0.5, "share": 0.25, "share_low": 0.1, "share_high": 0.8, "score_variance": 0.1,
            "score_share": 0.5, "score_share_low": 0.2, "score_share_high": 0.9, **numbers}  # fmt: skip


def test_a_row_of_randomness_shows_both_units_side_by_side():
    parts = [
        dice("training"),
        dice("prompt", share=-0.012, share_low=-0.05, share_high=0.081, note="few prompts"),
        dice("training x prompt", share=np.nan, share_low=np.nan, share_high=np.nan, note="unknown"),
        dice("inference", variance=0.0, score_variance=0.0, note="zero by construction: greedy", method=""),
        dice("total", variance=2.0, score_variance=0.123),
        dice("decode x prompt", head=False, note="of the sampler"),
    ]
    (row,) = readable("randomness", pd.DataFrame(parts)).to_dict("records")
    assert row == {
        "task": "t", "model": "m", "regime": "none", "split": "", "setting": "k=5", "metric": "nll", "unit": "text",
        COUNTS: "8 x 24 x 4", "variance per value": "2.0", "per value: training %": "25 [10, 80]",
        "per value: prompt %": "-1.2 (0) [-5.0, 8.1]", "per value: training x prompt %": "n/a",
        "per value: inference %": "0 (by construction)", "variance per score": "0.12",
        "per score: training %": "50 [20, 90]", "per score: inference %": "0 (by construction)", "noise floor": "-",
        "design": "joint", "method": "moments", "note": "prompt: few prompts; training x prompt: unknown",
    }  # fmt: skip


def test_sub_components_are_a_footnote_only(tables):
    shown = readable("randomness", tables["randomness"])
    assert not [column for column in shown.columns if "decode" in column]
    (line,) = [line for line in notes("randomness", tables["randomness"]) if line.startswith("Parts of the inference")]
    text = tables["randomness"].query("unit == 'text'")
    some = text[text["component"] == "decode x prompt"]["share"]
    kept = some[text.loc[some.index, "metric"] != "zipf"]
    assert f"decode x prompt {100 * kept.median():.0f} %" in line
    assert "head = False" in line


def test_rows_that_are_not_shown_are_counted(tables):
    table = tables["randomness"]
    lines = notes("randomness", table)
    assert f"Headline metrics only. The CSV holds all {len(table)} rows; not shown: zipf (set)." in lines
    assert "zipf" not in set(readable("randomness", table)["metric"])
    assert not not_shown(table.iloc[:50])
    only = table[table["metric"] == "zipf"]
    assert len(headline(only)) == len(only) > 100  # a user's own metrics are not hidden


def test_a_row_of_contrasts(tables):
    shown = readable("contrasts", tables["contrasts"])
    settings = shown[shown["family"] == "settings"]
    assert set(settings["compared"].str.extract(r"- (k=all) \(")[0]) == {"k=all"}
    assert set(settings["setting"]) == {""}
    table = tables["contrasts"].iloc[:1].assign(difference=-0.0234, ci_low=-0.0401, ci_high=-0.0067, p_adjusted=0.0004)
    row = readable("contrasts", table).iloc[0]
    assert row["compared"] == "weight-decay - none"
    assert (row["difference"], row["95 % CI"]) == ("-0.023", "[-0.040, -0.007]")
    assert row["adjusted p"] == "< 0.001"
    assert row["P(better)"] == "0.75 [0.35, 0.97]"
    assert row["sign-flip p"] == "0.008 (smallest 0.008)"
    assert "reading" not in row.index


def test_what_is_unpaired_is_counted(tables):
    table = tables["contrasts"].copy()
    assert not [line for line in notes("contrasts", table) if "not paired" in line]
    table.loc[:2, "pairing"] = "unpaired"
    assert [line for line in notes("contrasts", table) if line.startswith("3 rows are not paired")]


def test_claims_come_before_what_holds_by_construction(tables):
    shown = readable("claims", tables["claims"])
    assert shown["kind"].tolist() == ["claim"] * 16 + ["by construction"] * 4
    assert notes("claims", tables["claims"])[0] == (
        "Of the claims: 4 supported, 4 not supported, 4 undecided, 4 not applicable."
    )
    assert any(line.startswith("dropout-off holds if: identical-seed") for line in notes("claims", tables["claims"]))


def test_effects_name_the_range_of_the_grid(tables):
    assert any("Range of this grid: k 1 to all; 9 regimes." in line for line in notes("effects", tables["effects"]))
    shown = readable("effects", tables["effects"])
    random = shown[shown["kind"] == "random"]
    assert set(random["contrast [95 % CI]"]) == {"-"}
    constructed = tables["effects"].iloc[:1].assign(variance=0.0, note="0 by construction: nothing is drawn")
    assert readable("effects", constructed)["variance"].item() == "0 (by construction)"


def test_a_note_of_all_rows_stands_once_below_the_table(tables):
    table = tables["seeds"].assign(note=["few pairs; odd", *["few pairs"] * (len(tables["seeds"]) - 1)])
    assert common_notes(table) == ["few pairs"]
    assert readable("seeds", table)["note"].tolist()[:2] == ["odd", ""]
    assert "All rows: few pairs." in notes("seeds", table)
    assert readable("seeds", tables["seeds"])["needed: prompts"].tolist()[:4] == ["-", "-", "-", "24"]


@pytest.mark.parametrize("name", NAMES)
def test_every_form_is_whole_also_with_hostile_names_and_no_rows(tables, name):
    table = tables[name]
    for column in ("regime", "what", "contrast_what", "comparison"):
        if column in table.columns:
            table = table.assign(**{column: HOSTILE})
    markdown = to_markdown(name, table, name, notes(name, table))
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines() if line.startswith("|")}
    assert len(bars) == 1
    assert "<b>" not in markdown
    check_latex(to_latex(name, table, name, notes(name, table)))
    for form in (to_markdown, to_latex):
        assert "No rows" in form(name, table.iloc[:0], name, notes(name, table.iloc[:0]))


def check_latex(text):
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    plain = re.sub(r"\\.", "", body)
    assert plain.count("{") == plain.count("}")
    assert not set(re.sub(r"\$-\$", "", plain)) & set("%#_$~^")
    rows = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in rows}) == 1


def test_long_text_is_folded_in_latex(tables):
    long = tables["claims"].assign(statement="word " * 30)
    assert "p{6cm}" in to_latex("claims", long, "claims", [])
    assert "p{6cm}" not in to_latex("claims", tables["claims"], "claims", [])


def test_generalisation_is_judged_on_test_where_there_is_one():
    rows = [{"task": task, "model": "m", "split": split, "unit": "split"}
            for task, splits in (("a", ("train", "test", "shift")), ("b", ("validation", "shift", "other")))
            for split in splits]  # fmt: skip
    found = judged(pd.DataFrame(rows))
    assert found[["task", "split"]].to_numpy().tolist() == [["a", "test"], ["b", "shift"], ["b", "other"]]


def test_numbers():
    assert [p_value(p) for p in (0.0004, 0.0123, 0.5, np.nan)] == ["< 0.001", "0.012", "0.50", "n/a"]
    assert percent(0.36, 0.1, 0.8) == "36 [10, 80]"
    assert (ends(0.0012, 3.4), ends(np.nan, 1.0)) == ("[0.0012, 3.4]", "n/a")


def test_the_made_up_tables_are_those_of_nine_regimes_and_four_problems(tables):
    assert tuple(dict.fromkeys(tables["randomness"]["regime"])) == NINE
    assert len(tables["randomness"][["task", "model"]].drop_duplicates()) == len(PROBLEMS)
