"""The figures of the roof: what is drawn where, and what is left out."""

import numpy as np
import pandas as pd
import pytest
from roof_tables import NINE, TEXTS, roof

from harness.reporting.figures import draw
from harness.reporting.figures.effect_map import LEAST, effect_map, effect_points
from harness.reporting.figures.forest import contrast_forest
from harness.reporting.figures.published import published_and_ours
from harness.reporting.figures.style import look
from harness.reporting.figures.variance_shares import shares, variance_shares

FIGURES = ("variance_shares", "effect_map", "contrast_forest")


@pytest.fixture(scope="module")
def tables():
    return roof()


def panel(figure, *words):
    def title(axis):
        return (axis.get_title() + axis.get_title(loc="left")).replace("\n", " ")

    return next(axis for axis in figure.axes if all(word in title(axis) for word in words))


@pytest.mark.parametrize("name", FIGURES)
def test_drawn_again_a_figure_is_byte_identical(tables, name):
    first = draw(name, tables, NINE)
    assert first is not None
    assert first["svg"] == draw(name, roof(), NINE)["svg"]


@pytest.mark.parametrize("name", FIGURES)
def test_without_its_table_a_figure_is_left_out(tables, name):
    assert draw(name, {}, NINE) is None
    assert draw(name, {table: rows.iloc[:0] for table, rows in tables.items()}, NINE) is None


def test_shares_are_means_over_the_regimes_and_add_up_to_one(tables):
    table = tables["randomness"]
    bars = shares(table).set_index(["task", "bar", "component"])
    arm = table[(table["task"] == "toy-language") & (table["metric"] == "nll") & (table["top_k"] == "20")]
    training = arm[arm["component"] == "training"]
    assert (training["variance"] < 0).any()  # counts as 0
    expected = training["variance"].clip(lower=0).mean()
    assert bars.loc[("toy-language", "nll (text), k=20", "training"), "variance"] == pytest.approx(expected)
    axis = panel(variance_shares(tables, NINE), "toy-language@100", "per value")
    ends = {round(p.get_y() + p.get_height() / 2): p.get_x() + p.get_width() for p in axis.patches}
    assert set(ends) == set(range(len(axis.get_yticks())))
    np.testing.assert_allclose(list(ends.values()), 1.0)


def test_three_settings_are_drawn_and_not_the_greedy_one(tables):
    names = set(shares(tables["randomness"]).query("task == 'toy-language'")["bar"])
    assert {name.split(", ")[1] for name in names if "nll" in name} == {"k=2", "k=20", "k=all"}
    assert not [name for name in names if "perplexity" in name]  # one value a run: nothing to share


def test_an_unknown_part_is_named_and_no_share_is_drawn(tables):
    table = tables["randomness"]
    lost = (table["metric"] == "nll") & (table["component"] == "inference")
    figure = variance_shares({"randomness": table.assign(variance=table["variance"].mask(lost))}, NINE)
    written = [text.get_text() for text in panel(figure, "toy-language", "per value").texts]
    assert written.count("not known: inference") == 3
    one = lost & (table["regime"] == "none")
    bars = shares(table.assign(variance=table["variance"].mask(one)))
    assert bars.loc[bars["bar"].str.startswith("nll"), "variance"].notna().all()


def test_the_mean_leaves_out_a_regime_that_lacks_a_part(tables):
    table = tables["randomness"]
    one = (table["metric"] == "nll") & (table["component"] == "inference") & (table["regime"] == "none")
    bars = shares(table.assign(variance=table["variance"].mask(one))).set_index(["task", "bar", "component"])
    arm = table[(table["task"] == "toy-language") & (table["metric"] == "nll") & (table["top_k"] == "all")]
    kept = arm[(arm["component"] == "prompt") & (arm["regime"] != "none")]["variance"].mean()
    assert bars.loc[("toy-language", "nll (text), k=all", "prompt"), "variance"] == pytest.approx(kept)


def test_points_of_the_effect_map_are_in_units_of_the_total(tables):
    points = effect_points(tables["effects"]).set_index(["task", "metric"])
    rows = tables["effects"].query("task == 'toy-language' and metric == 'distinct-2'").set_index("effect")
    total = rows["variance"].clip(lower=0).sum()
    row = points.loc[("toy-language", "distinct-2")]
    assert row["x"] == pytest.approx(np.sqrt(rows.loc["top_k", "variance"] / total))
    assert row["y_high"] == pytest.approx(np.sqrt(rows.loc["regime", "ci_high"] / total))
    assert points.loc[("toy-language", "test loss"), "x"] == 0.0
    assert set(points.reset_index()["task"]) == {task for task, _ in TEXTS}  # without texts there is nothing to compare


def test_what_lies_below_the_axes_is_drawn_hollow_at_their_edge(tables):
    axis = panel(effect_map(tables, NINE), "toy-language /")
    marks = {bars.get_label(): bars[0] for bars in axis.containers}
    assert marks["test loss"].get_xdata().tolist() == [LEAST]
    assert marks["test loss"].get_markerfacecolor() == "white"
    assert marks["distinct-2"].get_markerfacecolor() != "white"


def test_the_forest_fills_what_is_found_and_writes_its_p(tables):
    table = tables["contrasts"]
    mine = (table["family"] == "regimes") & (table["metric"] == "loss") & (table["task"] == "toy-sentiment")
    table = table.assign(
        p_adjusted=table["p_adjusted"].mask(mine, 0.2).mask(mine & (table["regime"] == "late-0.3"), 0.004)
    )
    axis = panel(contrast_forest({"contrasts": table}, NINE), "toy-sentiment /", "test loss")
    assert [label.get_text() for label in axis.get_yticklabels()] == list(NINE[1:])
    faces = [bars[0].get_markerfacecolor() for bars in axis.containers]
    assert [face == "white" for face in faces] == [regime != "late-0.3" for regime in NINE[1:]]
    assert [text.get_text().strip() for text in axis.texts][5] == "p = 0.004"
    row = table[mine & (table["regime"] == "late-0.3")].iloc[0]
    assert axis.containers[5][0].get_xdata() == pytest.approx([row["difference"]])


def test_a_contrast_without_a_value_says_so(tables):
    table = tables["contrasts"].copy()
    table.loc[table["regime"] == "late-0.3", ["difference", "ci_low", "ci_high", "p_adjusted"]] = np.nan
    axis = panel(contrast_forest({"contrasts": table}, NINE), "toy-sentiment /", "test loss")
    assert " no value" in [text.get_text() for text in axis.texts]


def test_no_two_of_forty_regimes_look_the_same():
    names = [str(number) for number in range(40)]
    looks = {(look(name, names)["color"], look(name, names)["marker"]) for name in names}
    assert len(looks) == len(names)


def published_row(**own):
    row = {"entry": 1, "kind": "value", "task": "t", "model": "m", "regime": "none", "setting": "", "split": "test"}
    row |= {"unit": "", "metric": "loss", "published": 1.0, "spread": 0.1, "published_n": 5, "mean": 1.1, "ci_low": 1.0}
    return {**row, "ci_high": 1.2, "prediction_low": 0.9, "prediction_high": 1.3, "verdict": "agrees", **own}


def test_published_numbers_stand_below_ours_and_orders_have_their_own_panel():
    rows = [
        published_row(),
        published_row(entry=2, regime="a", verdict="undecided", mean=np.nan, spread=np.nan),
        published_row(entry=3, kind="ordering", regime="a < none", verdict="does not agree", mean=np.nan),
        published_row(
            entry=3, kind="difference", regime="none - a", verdict="below 0", mean=-0.5, ci_low=-0.6, ci_high=-0.4
        ),
    ]
    figure = published_and_ours({"published": pd.DataFrame(rows)}, ["none", "a"])
    values, order = figure.axes
    assert [label.get_text() for label in values.get_yticklabels()] == ["1: none", "2: a"]
    assert "ours: no value" in [text.get_text() for text in values.texts]
    assert values.containers[1][0].get_ydata() == pytest.approx([0.25])
    assert "order of entry 3: does not agree" in order.get_title()
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "ours: does not agree"
    assert published_and_ours({"published": pd.DataFrame()}, ["none"]) is None
