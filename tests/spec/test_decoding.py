"""The axes of decoding settings, human texts, and other models as judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toolbox import LANGUAGE, tiny_grid, write_data

from harness.data.tokenizer import save_tokenizer, train_tokenizer
from harness.errors import UserError
from harness.request import HUMAN, Setting
from harness.spec.cells import GenerationCell
from harness.spec.expand import expand
from harness.spec.grid import Decoding, Grid
from harness.spec.load import parse_grid
from harness.store import Store


def grid(**decoding: Any) -> Grid:
    changes = {**LANGUAGE, "decoding": {**LANGUAGE["decoding"], **decoding}}
    return parse_grid(tiny_grid(**changes, regimes={"none": {}}), "grid")


def cells(home: Path, **decoding: Any) -> list[GenerationCell]:
    write_data(home)
    return expand(grid(**decoding), Store(home / "results"), None).generation


def test_the_axes_are_a_product_and_rivals_stand_beside_it() -> None:
    decoding = Decoding.model_validate(
        {
            "top_k": [5, "all"],
            "temperature": [0.7, 1],
            "also": [{"top_p": [0.9, 0.95]}, {"top_k": 40, "min_p": 0.05, "temperature": 2.0}],
        }
    )
    assert decoding.settings == (
        Setting(5, 0.7),
        Setting(5, 1.0),
        Setting(None, 0.7),
        Setting(None, 1.0),
        Setting(None, 1.0, 0.9),
        Setting(None, 1.0, 0.95),
        Setting(40, 2.0, 1.0, 0.05),
    )


@pytest.mark.parametrize(
    ("setting", "canonical"),
    [
        (Setting(1, 0.7, 0.9, 0.1), Setting(1)),
        (Setting(100, 0.7, 0.9, 0.1), Setting(None, 0.7, 0.9, 0.1)),
        (Setting(99, 0.7), Setting(99, 0.7)),
        (HUMAN, HUMAN),
    ],
)
def test_a_law_has_one_name(setting: Setting, canonical: Setting) -> None:
    assert setting.canonical(100) == canonical


@pytest.mark.parametrize(
    ("decoding", "message"),
    [
        ({"top_p": [0.0]}, "decoding.top_p"),
        ({"top_p": 1.5}, "decoding.top_p"),
        ({"min_p": 1.0}, "decoding.min_p"),
        ({"min_p": True}, "decoding.min_p"),
        ({"also": [{"topp": 0.9}]}, "unknown key.*top_p"),
        ({"also": {"top_p": 0.9}}, "decoding.also"),
        ({"human": "yes"}, "decoding.human"),
    ],
)
def test_impossible_settings_are_refused_by_key(decoding: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        grid(**decoding)


def test_settings_and_replicates_make_cells_and_human_texts_come_last(home: Path) -> None:
    found = cells(home, top_k=[1, 5], temperature=[0.7, 1.0], also=[{"top_p": 0.9}])
    names = [(cell.parent.replicate, *cell.setting.factors.values(), cell.level) for cell in found]
    settings = [("5", 0.7, 1.0, 0.0), ("5", 1.0, 1.0, 0.0), ("all", 1.0, 0.9, 0.0)]
    assert names == [
        name
        for replicate in range(2)
        for name in [
            (replicate, "1", 1.0, 1.0, 0.0, 0),
            *((replicate, *setting, level) for setting in settings for level in range(2)),
            (replicate, "human", 1.0, 1.0, 0.0, 0),
        ]
    ]
    assert len({cell.uid for cell in found}) == len(found)


def test_human_texts_can_be_left_out(home: Path) -> None:
    assert not any(cell.setting.human for cell in cells(home, human=False))


def test_the_whole_configuration_is_in_the_identity(home: Path) -> None:
    (cell, *_) = cells(home, top_k=[7], temperature=[0.7], top_p=[0.9], min_p=[0.01])
    assert cell.identity["configuration"] == {
        "sampler": 2,
        "filters": "temperature, top-k, top-p, min-p",
        "top_k": "7",
        "temperature": 0.7,
        "top_p": 0.9,
        "min_p": 0.01,
        "max_new_tokens": 8,
    }


def test_a_new_setting_or_prompt_leaves_the_old_cells_as_they_are(home: Path) -> None:
    old = {cell.uid for cell in cells(home, top_k=[1, 5])}
    assert old < {cell.uid for cell in cells(home, top_k=[1, 2, 5], also=[{"top_p": 0.5}])}
    assert not old & {cell.uid for cell in cells(home, top_k=[1, 5], prompts=7)}


def test_judges_are_known_by_content_and_missing_ones_are_refused(home: Path) -> None:
    for name, weights in (("one", b"1"), ("same", b"1"), ("other", b"2")):
        (home / name).mkdir()
        (home / name / "config.json").write_text('{"model_type": "gpt2"}')
        (home / name / "model.safetensors").write_bytes(weights)
        save_tokenizer(train_tokenizer("char", ["abc"], 50, "gpt2"), home / name)
    plain, *judged = (
        cells(home, **judge)[0].uid
        for judge in ({}, *({"evaluator": str(home / name)} for name in ("one", "same", "other")))
    )
    assert judged[0] == judged[1]
    assert len({plain, *judged}) == 3
    (home / "empty").mkdir()
    with pytest.raises(UserError, match=r"decoding.evaluator: .*config.json is missing"):
        cells(home, evaluator=str(home / "empty"))
    (home / "one" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"decoding.evaluator: .*no tokenizer"):
        cells(home, evaluator=str(home / "one"))
    (home / "same" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match=r"decoding.evaluator: .*an encoder predicts no next token"):
        cells(home, evaluator=str(home / "same"))
    with pytest.raises(UserError, match=r"decoding.evaluator: nowhere/at/all: no such folder"):
        cells(home, evaluator="nowhere/at/all")
    with pytest.raises(UserError, match=r"decoding.mauve: compares with human texts"):
        cells(home, mauve=str(home / "one"), human=False)


def test_mauve_without_its_packages_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.spec.generation.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"decoding.mauve: .*pip install 'twodice\[mauve\]'"):
        cells(home, mauve="anything")
