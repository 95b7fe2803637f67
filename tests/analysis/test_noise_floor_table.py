import math

import pandas as pd
import pytest

from harness.analysis.noise_floor import GENERATED, noise_floor

REGIMES = ["none", "standard"]


@pytest.fixture
def repeated(training, cells, make_training_row, make_cell_row):
    """Two identical-seed repeats of none's first replicate (train .10, test .50), one of them a little off."""

    def build(again=(0.50, 0.47)):
        rows = [
            make_training_row(f"again{i}", "none", 0, split, "loss", value, repeat=i)
            for i, test in enumerate(again, start=1)
            for split, value in (("train", 0.10), ("test", test))
        ]
        more = [make_cell_row(f"again{i}", "none", 0) | {"repeat": i} for i in range(1, len(again) + 1)]
        return pd.concat([training, pd.DataFrame(rows)]), pd.concat([cells, pd.DataFrame(more)])

    return build


def by_split(found):
    return found.set_index("split")


def test_the_largest_difference_to_the_first_run(repeated):
    found = by_split(noise_floor(*repeated(), regimes=REGIMES))
    assert list(found.index) == ["train", "test"]
    assert set(found["regime"]) == {"none"}
    assert set(found["repeats"]) == {2}
    assert found.loc["train", "largest_difference"] == 0.0
    assert found.loc["test", "largest_difference"] == pytest.approx(0.03)


def test_a_repeat_that_failed_is_no_repeat(repeated):
    training, cells = repeated()
    cells.loc[cells["uid"] == "again2", "status"] = "error"
    found = by_split(noise_floor(training[training["uid"] != "again2"], cells, regimes=REGIMES))
    assert (found.loc["test", "repeats"], found.loc["test", "largest_difference"]) == (1, 0.0)


def test_a_first_run_that_failed_is_said(repeated):
    training, cells = repeated()
    found = noise_floor(training[training["uid"] != "none0"], cells, regimes=REGIMES)
    assert found["largest_difference"].isna().all()
    assert set(found["note"]) == {"the first run gave no value"}


def test_another_environment_is_said(repeated):
    training, cells = repeated()
    cells.loc[cells["uid"] == "again1", "environment"] = "e2"
    assert set(noise_floor(training, cells, regimes=REGIMES)["note"]) == {"across environments"}


def test_defined_in_one_run_only_is_an_infinite_difference(repeated):
    both, one = (by_split(noise_floor(*repeated(again), regimes=REGIMES)) for again in ((0.5,), (math.nan,)))
    assert both.loc["test", "largest_difference"] == 0.0
    assert one.loc["test", "largest_difference"] == math.inf


def test_texts_that_differ_are_a_share(repeated):
    arm = {"task": "sst2", "model": "bert", "regime": "none"}
    texts = pd.DataFrame([{**arm, "repeat": r, "texts": 8, "differing": d} for r, d in ((1, 0), (1, 0), (2, 4))])
    found = by_split(noise_floor(*repeated(), regimes=REGIMES, texts=texts))
    assert (found.loc[GENERATED, "texts"], found.loc[GENERATED, "repeats"]) == (24, 2)
    assert found.loc[GENERATED, "differing_texts"] == pytest.approx(4 / 24)


def test_without_repeats_there_is_no_row(training, cells):
    assert noise_floor(training, cells, regimes=REGIMES).empty
    assert noise_floor(training.iloc[:0].astype(object), cells, regimes=REGIMES, texts=pd.DataFrame()).empty
    with pytest.raises(ValueError, match="which the grid does not name"):
        noise_floor(training, cells, regimes=["none"])


def test_a_repeat_that_diverged_is_the_largest_noise_there_is(repeated):
    training, cells = repeated()
    cells.loc[cells["uid"] == "again2", "status"] = "diverged"
    found = noise_floor(training[training["uid"] != "again2"], cells, regimes=REGIMES)
    row = found[found["metric"] == "whole run"].to_dict("records")
    assert [(one["repeats"], one["largest_difference"]) for one in row] == [(1, math.inf)]
    assert row[0]["note"] == "1 repeats diverged and 0 failed, the first run is done"
