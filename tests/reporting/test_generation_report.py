"""Decoding settings and human texts as people read them: table, footnotes, terminal and figure."""

import io
import math
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from rich.console import Console

from harness.analysis.generation import COLUMNS
from harness.analysis.settings import setting_name
from harness.reporting.figures.diversity import diversity_by_k
from harness.reporting.generation import generation_footnotes
from harness.reporting.grid_notes import grid_notes
from harness.reporting.tables import readable
from harness.reporting.terminal import print_tables

REGIMES = ["none", "standard"]
PLAIN = [("1", 1.0), ("5", 0.7), ("5", 1.0), ("all", 0.7), ("all", 1.0)]
HUMAN = ("human", 1.0, 1.0, 0.0)


def row(regime, setting, metric, mean, unit="text", **more):
    top_k, temperature, top_p, min_p = setting
    named = {"task": "e2e", "model": "gpt2", "regime": regime, "top_k": top_k, "temperature": temperature}
    named |= {"top_p": top_p, "min_p": min_p, "metric": metric, "unit": unit, "mean": mean, "sd": 0.1}
    counts = {"n_training": 5, "n_inference": 8, "n_prompts": 10, "undefined": 0, "failed": 0, "missing": 0}
    bounds = {"ci_low": mean - 0.1, "ci_high": mean + 0.1, "decode_sd": 0.25, "to_human": math.nan}
    return {**named, **counts, **bounds, "design": "joint", "note": "", **more}


def table(settings, metric="perplexity", **more):
    rows = [row(regime, setting, metric, 2.0 + place + (regime == "none"), **more)
            for regime in REGIMES for place, setting in enumerate(settings)]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def plain():
    return [(top_k, temperature, 1.0, 0.0) for top_k, temperature in PLAIN]


def test_filters_have_a_column_only_where_one_is_used():
    assert {"top_p", "min_p", "to human"}.isdisjoint(readable("generation", table(plain())).columns)
    shown = readable("generation", table([*plain(), ("all", 1.0, 0.95, 0.0)]))
    assert "top_p" in shown.columns
    assert "min_p" not in shown.columns
    assert shown["top_p"].tolist()[4:6] == ["1.0", "0.95"]


def test_human_rows_have_no_decoding_and_no_decode_sd():
    some = table([*plain(), ("all", 1.0, 0.95, 0.0), HUMAN])
    human = some["top_k"] == "human"
    some.loc[human, "decode_sd"] = math.nan
    some.loc[~human, ["to_human", "to_human_low", "to_human_high"]] = [-1.5, -1.75, -1.25]
    shown = readable("generation", some).set_index("top_k")
    names = ["temperature", "top_p", "decode sd", "to human"]
    assert shown.loc["human", names].iloc[0].tolist() == ["", "", "-", "-"]
    assert shown.loc["1", ["decode sd", "to human"]].iloc[0].tolist() == ["0.25", "-1.50 [-1.75, -1.25]"]


def test_footnotes_say_what_the_table_at_hand_needs():
    lines = "\n".join(generation_footnotes(table(plain())))
    assert "its decode sd is 0 by construction, not estimated" in lines
    assert "human" not in lines
    lines = "\n".join(generation_footnotes(table([*plain()[1:], HUMAN])))
    assert "by construction" not in lines
    assert "Read which setting is closest to human, not which perplexity is lowest" in lines
    assert "set metrics depend on the number of texts" not in lines
    lines = "\n".join(generation_footnotes(table([HUMAN], metric="self-bleu-4", unit="set")))
    assert "set metrics depend on the number of texts" in lines


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (("1", 1.0, 1.0, 0.0), "k=1"),
        (("all", 0.7, 1.0, 0.0), "k=all T=0.7"),
        (("all", 1.0, 0.95, 0.0), "p=0.95"),
        (("40", 0.7, 0.9, 0.05), "k=40 p=0.9 min-p=0.05 T=0.7"),
        (HUMAN, "human"),
    ],
)
def test_a_setting_reads_well(setting, name):
    assert setting_name(*setting) == name


def terminal(generation):
    empty = pd.DataFrame(columns=["task", "model", "design"])
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_tables({"generalization": empty, "generation": generation, "published": []}, console)
    return console.file.getvalue()


def test_the_terminal_has_a_column_per_setting():
    header = next(line for line in terminal(table([HUMAN, *plain()])).splitlines() if "k=1 " in line)
    names = [name.strip() for name in re.split("[┃│]", header)][1:-1]
    assert names == ["regime", "k=1", "k=5 T=0.7", "k=all T=0.7", "k=5", "k=all", "human"]


def test_many_settings_are_lines_in_the_terminal():
    many = [(str(k), 1.0, 1.0, 0.0) for k in range(2, 8)]
    text = terminal(table([HUMAN, *many, ("all", 1.0, 0.95, 0.0), ("all", 1.0, 1.0, 0.0)]))
    lines = [line.split()[1] for line in text.splitlines() if " ± " in line and "│" in line]
    assert lines == [*(f"k={k}" for k in range(2, 8)), "k=all", "p=0.95", "human"]
    header = next(line for line in text.splitlines() if "setting" in line)
    assert header.index("none") < header.index("standard")


def figure(*tables):
    found = diversity_by_k({"generation": pd.concat(tables, ignore_index=True)}, REGIMES)
    assert found is not None
    return found, {axis.get_ylabel().split("\n")[0]: axis for axis in found.axes if axis.get_visible()}


def ticks(axis):
    return [tick.get_text() for tick in axis.get_xticklabels()]


def test_the_figure_has_a_panel_per_metric_that_has_values():
    _, panels = figure(table(plain()), table(plain(), "distinct-2"), table(plain(), "length"))
    assert list(panels) == ["distinct-2", "perplexity"]
    assert panels["perplexity"].get_yscale() == "log"
    assert panels["distinct-2"].get_yscale() == "linear"


def test_a_line_per_regime_and_temperature_begins_at_greedy():
    drawn, panels = figure(table(plain()))
    lines = [container.lines[0] for container in panels["perplexity"].containers]
    assert [list(line.get_ydata()) for line in lines] == [[3, 4, 6], [3, 5, 7], [2, 3, 5], [2, 4, 6]]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == ["none, T = 0.7", "none, T = 1", "standard, T = 0.7", "standard, T = 1"]
    assert ticks(panels["perplexity"]) == ["1", "5", "all"]


def test_other_filters_are_points_after_all_and_join_no_line():
    _, panels = figure(table([*plain(), ("all", 1.0, 0.95, 0.0), ("5", 1.0, 0.9, 0.0)]))
    assert ticks(panels["perplexity"]) == ["1", "5", "all", "k=5 p=0.9", "p=0.95"]
    points = [c.lines[0] for c in panels["perplexity"].containers if c.lines[0].get_linestyle() == "None"]
    assert [sorted(line.get_ydata()) for line in points] == [[8, 9], [7, 8]]
    assert all(min(line.get_xdata()) > 2.5 for line in points)


def test_human_is_one_line_where_the_model_decides_nothing_and_one_a_regime_where_it_does():
    same = table([*plain(), HUMAN], "distinct-2")
    same.loc[same["top_k"] == "human", "mean"] = 0.5
    _, panels = figure(same, table([*plain(), HUMAN]))
    flat = {name: [line.get_ydata()[0] for line in axis.get_lines() if len(set(line.get_xdata())) == 2
                   and list(line.get_xdata()) == [0, 1]] for name, axis in panels.items()}  # fmt: skip
    assert flat == {"distinct-2": [0.5], "perplexity": [8, 7]}
    for axis in panels.values():
        assert [text.get_text() for text in axis.texts] == ["human"]
        assert "human" not in ticks(axis)


class Stored:
    """A store of records by uid."""

    def __init__(self, **summaries):
        self.summaries = summaries

    def record(self, uid):
        return SimpleNamespace(summary=self.summaries[uid]) if uid in self.summaries else None


def expansion(*uids, human=()):
    cells = [
        SimpleNamespace(uid=uid, parent=SimpleNamespace(uid=uid[0]), setting=SimpleNamespace(human=uid in human))
        for uid in uids
    ]
    return SimpleNamespace(notes=["a note of the task"], training=[], generation=cells)


def flipped(texts, differing, name="one"):
    return {"rows_independent": False, "pass": name, "flips": {"texts": texts, "differing": differing}}


def test_a_measured_flip_rate_is_pooled_over_checkpoints_and_counted_once_in_each():
    """Every cell of a pass carries the one measurement of the pass: as many trials as cells would be a false wealth."""
    store = Stored(a1=flipped(64, 2), a2=flipped(64, 2), b1=flipped(64, 2), h={"rows_independent": False})
    lines = grid_notes(expansion("a1", "a2", "b1", "c1", "h", human={"h"}), store)
    assert lines[0] == "a note of the task"
    assert "3 of 3 generation cells" in lines[1]
    # Clopper-Pearson of 4 of 128: scipy.stats.beta.ppf(.025, 4, 125) and ppf(.975, 5, 124)
    assert "4 of 128 texts differed" in lines[1]
    assert "flip rate 0.0312, 95 % interval (Clopper-Pearson) 0.0086 to 0.0781" in lines[1]


def test_two_passes_of_one_checkpoint_are_two_measurements_also_with_equal_counts():
    store = Stored(a1=flipped(64, 2), a2=flipped(64, 2), a3=flipped(64, 2, "two"), a4=flipped(64, 0, "three"))
    line = grid_notes(expansion("a1", "a2", "a3", "a4"), store)[1]
    assert "4 of 192 texts differed" in line


def test_cells_whose_rows_are_independent_need_no_note_and_an_unmeasured_rate_is_said():
    assert grid_notes(expansion("a1"), Stored(a1={"rows_independent": True})) == ["a note of the task"]
    line = grid_notes(expansion("a1", "b1"), Stored(a1={"rows_independent": False}, b1={"rows_independent": True}))[1]
    assert "1 of 2 generation cells" in line
    assert line.endswith("how often was not measured")


def test_a_metric_without_any_value_is_named_below_the_table_and_an_arm_without_texts_keeps_its_row():
    lost = table(plain(), "evaluator-perplexity").assign(mean=math.nan)
    empty = row("standard", ("40", 1.0, 1.0, 0.0), "", math.nan, unit="")
    some = pd.concat([table(plain()), lost, pd.DataFrame([empty], columns=COLUMNS)], ignore_index=True)
    shown = readable("generation", some)
    assert shown["metric"].tolist() == ["perplexity"] * 10 + [""]
    assert any(line.endswith("not shown: evaluator-perplexity.") for line in generation_footnotes(some))
    some.loc[12, "mean"] = 1.0
    assert readable("generation", some)["metric"].tolist().count("evaluator-perplexity") == 10
    assert not any("not shown" in line for line in generation_footnotes(some))
