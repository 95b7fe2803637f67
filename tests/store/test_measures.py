"""Metrics of stored texts: complete, computed once, and never taken from a file that is not what was written."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from stored_texts import SAID, StoredTexts

from harness.analysis.generation import generation
from harness.errors import CellError
from harness.inference.metrics.registry import METRICS, Text, TextMetric
from harness.store import Store
from harness.store import measures as module
from harness.store.measures import TextMeasures
from harness.store.tables import COLUMNS, build_tables
from harness.tracking.views import _means, cell_view


class Counted:
    """A metric that counts how often it is asked, and for which texts."""

    def __init__(self) -> None:
        self.texts: list[Text] = []

    def __call__(self, text: Text) -> float:
        self.texts.append(text)
        return float(len(self.texts))


def a_metric(text: Text) -> float:
    """A stand-in, so that the metric has a file."""
    return float(text.copied or 0)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counter = Counted()
    monkeypatch.setitem(METRICS, "counted", TextMetric("counted", "text", "-", "-", counter))
    return counter


@pytest.fixture
def stored(home: Path) -> StoredTexts:
    return StoredTexts(home)


def test_metrics_of_a_cell_are_registered_ones_the_judgement_and_stored_scores(stored: StoredTexts) -> None:
    cell = stored.cell()
    scores = pd.DataFrame({"unit": ["set"], "prompt": [""], "metric": ["mauve"], "value": [0.25]})
    texts = stored.save(cell, scores=scores)
    found = TextMeasures(stored.store).of_cell(cell)
    assert found.columns.tolist() == ["unit", "prompt", "metric", "value"]
    names = {unit: set(found.loc[found["unit"] == unit, "metric"]) for unit in ("text", "set")}
    for unit, own in (("text", {"vowels", "drawn"}), ("set", {"judged", "mauve"})):
        assert names[unit] == own | {name for name, metric in METRICS.items() if metric.unit == unit}
    drawn = found[found["metric"] == "drawn"]
    assert drawn["prompt"].tolist() == texts["prompt"].tolist()
    assert drawn["value"].tolist() == [16, 15, 14]
    assert found.loc[found["metric"] == "mauve", "value"].tolist() == [0.25]
    assert found.loc[found["metric"] == "copied-span", "value"].tolist() == [9, 9, 9]  # " the cat "


def test_two_values_of_one_name_are_refused(stored: StoredTexts) -> None:
    cell = stored.cell()
    stored.save(cell, scores=pd.DataFrame({"unit": ["set"], "prompt": [""], "metric": ["judged"], "value": [0.25]}))
    with pytest.raises(CellError, match="two values of metric judged"):
        TextMeasures(stored.store).of_cell(cell)


def test_they_are_computed_once_and_read_with_every_bit(stored: StoredTexts, counted: Counted) -> None:
    cells = [stored.cell("5", level) for level in range(3)]
    for cell in cells:
        stored.save(cell)
    first = TextMeasures(stored.store)
    one, across = [first.of_cell(cell) for cell in cells], first.across(cells)
    assert len(counted.texts) == 9
    second = TextMeasures(stored.store)
    second.expect(cells)
    for cell, frame in zip(cells, one, strict=True):
        pd.testing.assert_frame_equal(second.of_cell(cell), frame, check_exact=True)
    pd.testing.assert_frame_equal(second.across(cells), across, check_exact=True)
    assert len(counted.texts) == 9


def test_copies_that_are_searched_for_together_are_those_of_each_text(stored: StoredTexts) -> None:
    cells = [stored.cell("5", level) for level in range(3)]
    for level, cell in enumerate(cells):
        stored.save(cell, lambda i, level=level: "cdefghijklmnop"[: 3 * level + i + 1])  # type: ignore[misc]
    measures = TextMeasures(stored.store)
    measures.expect(cells)
    spans = [frame.loc[frame["metric"] == "copied-span", "value"].tolist() for frame in map(measures.of_cell, cells)]
    assert spans == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def files(stored: StoredTexts) -> list[Path]:
    return sorted((stored.store.root / "cache" / "metrics").iterdir())


@pytest.mark.parametrize("place", [3, 40, 300, -1])
def test_a_damaged_file_is_computed_anew(stored: StoredTexts, counted: Counted, place: int) -> None:
    cell = stored.cell()
    stored.save(cell)
    values = TextMeasures(stored.store).of_cell(cell)
    (path,) = files(stored)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(bytes(content))
    again = TextMeasures(stored.store).of_cell(cell)
    assert len(counted.texts) == 6
    assert again[again["metric"] != "counted"].equals(values[values["metric"] != "counted"])
    path.write_bytes(path.read_bytes()[:100])
    TextMeasures(stored.store).of_cell(cell)
    assert len(counted.texts) == 9
    assert files(stored) == [path]


def test_other_texts_under_the_same_uid_are_measured(stored: StoredTexts) -> None:
    cell = stored.cell()
    for said, says in ((SAID, lambda _: SAID), ("abc", lambda _: "abc")):
        stored.save(cell, says)
        found = TextMeasures(stored.store).of_cell(cell)
        assert set(found.loc[found["metric"] == "length", "value"]) == {len(said)}


def test_other_code_measures_again(stored: StoredTexts, counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = stored.cell()
    stored.save(cell)
    TextMeasures(stored.store).of_cell(cell)
    before = module.code_digest()
    monkeypatch.setitem(METRICS, "more", TextMetric("more", "text", "-", "-", a_metric))
    assert module.code_digest() != before
    assert "more" in set(TextMeasures(stored.store).of_cell(cell)["metric"])
    assert len(counted.texts) == 6


def test_the_code_is_every_metric_file_and_a_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "a.py", tmp_path / "b.py"
    one.write_text("x = 1\n")
    other.write_text("y = 1\n")
    before = module.file_digest([one, other])
    other.write_text("y = 2\n")
    assert module.file_digest([other, one]) != before
    seen: list[Path] = []
    monkeypatch.setattr(module, "file_digest", lambda files: seen.extend(files))
    monkeypatch.setitem(METRICS, "mine", TextMetric("mine", "text", "-", "-", a_metric))
    module.code_digest()
    names = {path.name for path in seen}
    assert {"self_bleu.py", "ngrams.py", "registry.py", "context.py", "copies.py", "encode.py"} <= names
    assert Path(__file__) in seen


def test_without_a_place_for_them_they_are_still_right(stored: StoredTexts, counted: Counted) -> None:
    cell = stored.cell()
    stored.save(cell)
    folder = stored.store.root / "cache" / "metrics"
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where the folder would be")
    for times in (1, 2):
        assert len(TextMeasures(stored.store).of_cell(cell)) > 3
        assert len(counted.texts) == 3 * times


def test_an_altered_cell_is_no_hit(stored: StoredTexts) -> None:
    stored.save_all()
    build_tables(stored.expansion, stored.store)
    path = stored.store.folder(stored.cell().uid) / "generations.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CellError, match="not what was written"):
        build_tables(stored.expansion, stored.store)


def test_tables_of_texts_are_whole_and_equal_when_rebuilt(stored: StoredTexts) -> None:
    stored.save_all()
    tables = build_tables(stored.expansion, stored.store)
    texts, metrics = tables["generations"], tables["generation_metrics"]
    assert texts.columns.tolist() == COLUMNS["generations"]
    assert metrics.columns.tolist() == COLUMNS["generation_metrics"]
    # 2 checkpoints x (greedy, 3 replicates of k = 5, and references: 3, 2 and 1 of 3, 2 and 1 prompts).
    assert len(texts) == 2 * (3 + 9 + 6)
    assert set(texts.loc[texts["top_k"] == "human", "inference_replicate"]) == {0, 1, 2}
    for _, row in metrics[metrics["metric"] == "length"].iterrows():
        mine = texts[(texts["uid"] == row["uid"]) & (texts["prompt"] == row["prompt"])]
        assert [len(ids) for ids in mine["token_ids"]] == [row["value"]]
        factors = ["training_uid", "regime", "training_replicate", "top_k", "top_p", "min_p", "inference_replicate"]
        assert mine[factors].iloc[0].tolist() == row[factors].tolist()
    pairs = metrics[metrics["unit"] == "prompt"]
    assert set(pairs["top_k"]) == {"5", "human"}
    assert pairs["inference_replicate"].isna().all()
    assert len(pairs[(pairs["metric"] == "replicate-distinctness") & (pairs["top_k"] == "5")]) == 2 * 3
    again = build_tables(stored.expansion, stored.store)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(again[name], table, check_exact=True)


def test_the_mirror_shows_the_means_of_the_report(stored: StoredTexts) -> None:
    stored.save_all()
    training = stored.expansion.training[1]
    mine = [cell for cell in stored.expansion.generation if cell.parent is training]
    view = cell_view(training, mine, stored.store)
    assert view is not None
    assert [setting.name for setting in view.settings] == ["k=1 T=1", "k=5 T=1", "human"]
    assert [setting.n for setting in view.settings] == [3, 9, 6]
    assert view.settings[1].params == {
        "top_k": "5", "temperature": 1.0, "top_p": 1.0, "min_p": 0.0, "inference_replicates": 3
    }  # fmt: skip
    tables = build_tables(stored.expansion, stored.store)
    mine = tables["generation_metrics"].query("training_replicate == 1")
    report = generation(mine, tables["cells"], regimes=["none"]).set_index(["top_k", "unit", "metric"])["mean"]
    shown = {
        (str(setting.params["top_k"]), *name.split(".", 1)): value
        for setting in view.settings
        for name, value in setting.metrics.items()
    }
    assert shown == pytest.approx(report.to_dict(), rel=1e-15, nan_ok=True)
    # One prompt has one reference only: it is left out, and does not cost the set its value.
    assert not any(math.isnan(shown["human", "set", name]) for name in ("bleu", "chrf", "rouge-l-set"))
    # Prompts have 3, 2 and 1 references: pooled, the human numbers would be others.
    pooled = mine[mine["top_k"] == "human"].groupby(["unit", "metric"])["value"].mean()
    differing = [key for key, value in pooled.items() if abs(shown["human", *key] - value) > 1e-6]
    assert {("text", "length"), ("set", "distinct-2-set"), ("text", "rouge-l")} <= set(differing)


def test_an_infinite_value_is_left_to_the_mirror_to_tell(stored: StoredTexts) -> None:
    cells = [stored.cell("5", level) for level in range(3)]
    for cell, value in zip(cells, (0.5, math.inf, 0.25), strict=True):
        stored.save(cell, scores=pd.DataFrame({"unit": ["set"], "prompt": [""], "metric": ["mauve"], "value": [value]}))
    found = _means(cells, TextMeasures(stored.store))
    assert found["set.mauve"] == math.inf
    assert found["text.length"] == 15


def test_code_is_looked_at_when_a_number_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own metrics are found while a grid expands, after a run has made its measures."""
    measures = TextMeasures(Store(tmp_path))
    monkeypatch.setitem(METRICS, "late", TextMetric("late", "text", "-", "-", a_metric))
    assert measures._code() == module.code_digest()
