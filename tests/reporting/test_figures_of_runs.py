"""The figures of single runs: rates as applied, and learning curves."""

import re

import pandas as pd
import pytest

from harness.reporting.figures import draw, style
from harness.reporting.figures.learning import learning_curves
from harness.reporting.figures.rates import dropout_rates
from harness.reporting.figures.runs import runs


def lines(figure, title):
    axis = next(a for a in figure.axes if title in a.get_title().replace("\n", " "))
    return {line.get_label(): line for line in axis.get_lines()}, axis


def test_rates_are_drawn_as_steps_until_the_end_of_training(tables, regimes):
    found, _ = lines(dropout_rates(tables, regimes), "attention toy-language / scratch:gpt2-tiny")
    assert set(found) == {"standard-0.1"}
    line = found["standard-0.1"]
    assert line.get_drawstyle() == "steps-post"
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([0, 40], [0.1, 0.1])


def test_layers_share_the_panel_of_their_site(tables, regimes):
    figure = dropout_rates(tables, regimes)
    titles = [axis.get_title().replace("\n", " ") for axis in figure.axes if axis.get_visible()]
    assert titles == [
        f"{site} toy-language / scratch:gpt2-tiny and 1 more like it" for site in ("attention", "sublayer")
    ]
    found, axis = lines(figure, "sublayer")
    assert len(axis.get_lines()) == 4
    assert [label for label in found if not label.startswith("_")] == [regimes[2]]
    assert [text.get_text() for text in axis.texts] == ["layer 0", "layer 3"]
    deepest = axis.get_lines()[3]
    assert deepest.get_ydata()[0] == pytest.approx(0.4)
    assert len(deepest.get_xdata()) == 41
    assert [text.get_text() for text in figure.legends[0].get_texts()] == regimes[1:3]


def test_the_rates_are_of_the_lowest_replicate(tables, regimes):
    rates = tables["rates"]
    other = rates.assign(rate=rates["rate"].where(rates["uid"].str.endswith("-0"), 0.9))
    figure = dropout_rates({**tables, "rates": other}, regimes)
    assert max(max(line.get_ydata()) for axis in figure.axes for line in axis.get_lines()) == pytest.approx(0.4)


def test_ten_layers_come_after_two(tables, regimes):
    rows = [{"uid": "toy-sentiment-1-0", "site": f"sublayer/{i}", "step": 0, "rate": i / 20} for i in range(12)]
    figure = dropout_rates({**tables, "rates": pd.DataFrame(rows)}, regimes)
    _, axis = lines(figure, "sublayer")
    assert [line.get_ydata()[0] for line in axis.get_lines()] == [i / 20 for i in range(12)]
    assert [text.get_text() for text in axis.texts] == ["layer 0", "layer 11"]


def test_only_the_same_rates_share_a_panel(tables, regimes):
    rates = tables["rates"]
    other = rates.assign(rate=rates["rate"].where(rates["uid"] != "toy-sentiment-1-0", 0.2))
    figure = dropout_rates({**tables, "rates": other}, regimes)
    titles = [axis.get_title().replace("\n", " ") for axis in figure.axes if axis.get_visible()]
    assert [title for title in titles if title.startswith("attention")] == [
        "attention toy-language / scratch:gpt2-tiny",
        "attention toy-sentiment / scratch:bert-tiny",
    ]


def test_a_regime_without_any_rate_gives_no_figure(tables, regimes):
    assert dropout_rates({**tables, "rates": tables["rates"].assign(rate=0.0)}, regimes) is None
    assert dropout_rates({name: t for name, t in tables.items() if name != "rates"}, regimes) is None


def test_learning_curves_are_means_with_their_range(tables, regimes):
    figure = learning_curves(tables, regimes)
    found, axis = lines(figure, "toy-sentiment")
    assert list(found) == regimes[:3]
    assert list(found["none"].get_xdata()) == [10, 20, 30, 40]
    # 0.5 + 2/10 + (0 + 0.03 + 0.06)/3
    assert found["none"].get_ydata()[0] == pytest.approx(0.73)
    band = axis.collections[0].get_paths()[0].get_extents()
    assert (band.ymin, band.ymax) == (pytest.approx(0.5 + 2 / 40), pytest.approx(0.5 + 2 / 10 + 0.06))


def test_a_mean_over_those_that_ran_longest_is_not_drawn(tables, regimes):
    history = tables["history"]
    stopped = history[~((history["uid"] == "toy-sentiment-0-2") & (history["step"] > 20))]
    found, _ = lines(learning_curves({**tables, "history": stopped}, regimes), "toy-sentiment")
    assert list(found["none"].get_xdata()) == [10, 20]
    assert list(found["standard-0.1"].get_xdata()) == [10, 20, 30, 40]


def test_without_evaluations_there_are_no_curves(tables, regimes):
    history = tables["history"]
    assert learning_curves({**tables, "history": history[history["metric"] == "train.loss"]}, regimes) is None


def test_repeats_are_not_drawn_and_a_cell_of_two_arms_is_in_both(tables):
    training = tables["training"]
    shared = training[training["uid"] == "toy-sentiment-0-0"].assign(regime="standard-0.1", training_replicate=9)
    repeat = training[training["uid"] == "toy-sentiment-0-1"].assign(uid="again", repeat=1)
    found = runs({"training": pd.concat([training, shared, repeat])})
    assert "again" not in set(found["uid"])
    assert set(found.loc[found["uid"] == "toy-sentiment-0-0", "regime"]) == {"none", "standard-0.1"}
    assert len(found) == 2 * 3 * 3 + 1


@pytest.mark.parametrize("name", ["dropout_rates", "learning_curves"])
def test_drawn_again_from_shuffled_tables_it_is_byte_identical(tables, regimes, name):
    shuffled = {key: table.sample(frac=1, random_state=3) for key, table in tables.items()}
    first = draw(name, tables, regimes)
    assert draw(name, shuffled, regimes) == first
    assert re.search(rb"dc:date", first["svg"]) is None


def test_thirty_regimes_look_different():
    names = [str(i) for i in range(30)]
    looks = {(look["color"], look["linestyle"]) for look in (style.line_look(name, names) for name in names)}
    assert len(looks) == 30
