"""MAUVE: features of a local model, and the area under the divergence frontier against our own numpy code."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judges import TEXTS, byte_tokenizer, causal_folder, encoder_folder
from numpy.typing import NDArray
from toolbox import SHARED
from transformers import AutoModel, AutoTokenizer

from harness.errors import CellError
from harness.inference import mauve as module
from harness.inference.mauve import SCALING, Featurizer, mauve_frame, mauve_score, unavailable
from harness.randomness import key
from harness.spec.catalogue import metrics
from harness.spec.models import resolve_checkpoint

MINILM = SHARED / "models" / "minilm-l6-h384"
needs_mauve = pytest.mark.skipif(unavailable() is not None, reason="the extra 'mauve' is not installed")
Points = NDArray[np.float32]


def clouds(number: int, shift: float, seed: int = 0, width: int = 16) -> tuple[Points, Points]:
    """Two sets of normal vectors whose means are `shift` apart in every direction."""
    draw = np.random.default_rng(seed)
    one, other = draw.normal(size=(2, number, width)).astype(np.float32)
    one[:, 0] += 5  # vectors are put on the unit sphere: a common direction keeps that from being all there is
    other[:, 0] += 5
    return one, other + np.float32(shift)


def frontier_area(p: Points, q: Points) -> float:
    """Pillutla et al. 2021, section 2: the formula, by the trapezoid rule over their 25 points and the two ends."""
    curve = [(1.0, 0.0), (0.0, 1.0)]
    for w in np.linspace(1e-6, 1 - 1e-6, 25):
        mixture = w * p + (1 - w) * q
        curve.append((np.exp(-SCALING * divergence(q, mixture)), np.exp(-SCALING * divergence(p, mixture))))
    x, y = np.array(sorted(curve, key=lambda point: (point[0], -point[1]))).T
    along_x = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    x, y = np.array(sorted(curve, key=lambda point: (point[1], -point[0]))).T
    return (along_x + float(np.sum(np.diff(y) * (x[1:] + x[:-1]) / 2))) / 2


def divergence(a: Points, b: Points) -> float:
    return float(sum(one * np.log(one / other) for one, other in zip(a, b, strict=True) if one > 0))


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Featurizer:
    return Featurizer.load(causal_folder(tmp_path_factory.mktemp("gpt2"), byte_tokenizer(), positions=24))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Featurizer:
    return Featurizer.load(encoder_folder(tmp_path_factory.mktemp("bert")))


@needs_mauve
@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5, 3.0])
def test_the_area_is_that_of_the_formula(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    import mauve

    seen: list[Any] = []
    original = mauve.compute_mauve

    def spy(**options: Any) -> Any:
        seen.append((options, original(**options)))
        return seen[-1][1]

    monkeypatch.setattr(mauve, "compute_mauve", spy)
    found = mauve_score(*clouds(300, shift), seed=1)
    ((options, result),) = seen
    assert len(result.p_hist) == 30
    assert found == pytest.approx(frontier_area(result.p_hist, result.q_hist), abs=1e-9)
    assert options["verbose"] is False


@needs_mauve
def test_alike_is_one_apart_is_nothing_and_between_is_between() -> None:
    one, _ = clouds(300, 0)
    assert mauve_score(one, one, seed=1) == pytest.approx(1, abs=1e-9)
    values = [mauve_score(*clouds(300, shift), seed=1) for shift in (0.0, 0.3, 1.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] < 0.02


@needs_mauve
def test_repeats_to_the_last_bit_whatever_the_generators_hold_and_follows_its_seed() -> None:
    pair = clouds(200, 0.3)
    state = torch.get_rng_state()
    first = mauve_score(*pair, seed=2**63 + 5)
    np.random.default_rng().normal()
    assert mauve_score(*pair, seed=2**63 + 5) == first
    assert len({mauve_score(*pair, seed=seed) for seed in range(4)}) > 1
    assert torch.equal(torch.get_rng_state(), state)


@needs_mauve
def test_is_quiet_and_gives_faiss_back(capfd: pytest.CaptureFixture[str]) -> None:
    import faiss

    before = faiss.Kmeans
    assert 0 < mauve_score(*clouds(60, 0.3), seed=1) < 1
    assert faiss.Kmeans is before
    assert capfd.readouterr() == ("", "")


@needs_mauve
def test_texts_that_are_all_equal_are_alike() -> None:
    same = np.ones((40, 8), dtype=np.float32)
    assert mauve_score(same, same, seed=1) == 1.0


@needs_mauve
def test_too_few_texts_have_no_mauve() -> None:
    one, other = clouds(20, 0)
    assert np.isfinite(mauve_score(one, other, seed=1))
    assert np.isnan(mauve_score(one[:19], other, seed=1))
    assert np.isnan(mauve_score(one, other[:19], seed=1))


@needs_mauve
def test_the_row_is_of_the_set_and_keyed_by_the_study_seed() -> None:
    one, other = clouds(60, 0.3)
    frame = mauve_frame(one, other, seed=7)
    assert frame.drop(columns="value").to_dict("records") == [{"unit": "set", "prompt": "", "metric": "mauve"}]
    assert frame["value"].item() == mauve_score(one, other, seed=key(7, "decode", 0, "mauve"))


def test_the_list_of_metrics_says_what_it_is() -> None:
    (row,) = [row for row in metrics()[1] if row[0] == "mauve"]
    assert row[1] == "set"
    assert "thousands" in row[2]
    assert "2102.01454" in row[3]


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "faiss" else object())
    assert unavailable() == "mauve needs packages that are not installed (faiss): pip install 'twodice[mauve]'"
    with pytest.raises(CellError, match="twodice\\[mauve\\]"):
        mauve_score(*clouds(30, 0), seed=1)


def test_importing_our_module_imports_none_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def watched(name: str, *rest: Any) -> Any:
        assert name.split(".")[0] not in ("mauve", "faiss", "threadpoolctl")
        return original(name, *rest)

    monkeypatch.delitem(sys.modules, "harness.inference.mauve")
    monkeypatch.setattr(builtins, "__import__", watched)
    import harness.inference.mauve  # noqa: F401


def test_features_of_a_causal_model_are_its_last_token_s_last_state(causal: Featurizer) -> None:
    assert causal.causal
    found = causal.features(TEXTS[:6])
    assert found.dtype == np.float32
    for text, row in zip(TEXTS[:6], found, strict=True):
        tokens = byte_tokenizer().encode(text).ids[:24]
        with torch.no_grad():
            state = causal.judge.model(input_ids=torch.tensor([tokens])).last_hidden_state[0, -1]
        assert row == pytest.approx(state.numpy(), abs=1e-4)


def test_features_of_an_encoder_are_its_mean_state(encoder: Featurizer) -> None:
    assert not encoder.causal
    (found,) = encoder.features(["the red kettle"])
    tokens = encoder.judge.tokenizer.encode("the red kettle").ids
    assert encoder.judge.tokenizer.id_to_token(tokens[0]) == "[CLS]"
    with torch.no_grad():
        states = encoder.judge.model(input_ids=torch.tensor([tokens])).last_hidden_state[0]
    assert found == pytest.approx(states.mean(0).numpy(), abs=1e-4)


@pytest.mark.parametrize("kind", ["causal", "encoder"])
def test_a_row_does_not_depend_on_the_other_texts(kind: str, request: pytest.FixtureRequest) -> None:
    featurizer = request.getfixturevalue(kind)
    whole = featurizer.features([*TEXTS, "", TEXTS[0]])
    assert np.array_equal(featurizer.features([*TEXTS, "", TEXTS[0]]), whole)
    assert np.array_equal(featurizer.features(TEXTS[7:9]), whole[7:9])
    assert np.array_equal(featurizer.features([""])[0], whole[-2])
    assert np.array_equal(whole[0], whole[-1])


def test_texts_longer_than_the_model_are_cut(causal: Featurizer, encoder: Featurizer) -> None:
    long = "the red kettle number 1 is here and it stays there " * 4
    for featurizer in (causal, encoder):
        assert np.array_equal(featurizer.features([long]), featurizer.features([long + "and here"]))


def test_an_empty_text_needs_a_token_to_stand_for_it(tmp_path: Path) -> None:
    featurizer = Featurizer.load(causal_folder(tmp_path / "endless", byte_tokenizer(), end=None))
    with pytest.raises(CellError, match="endless has none to begin it with"):
        featurizer.features(["the", ""])


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    featurizer = Featurizer.load(causal_folder(tmp_path / "broken", byte_tokenizer()))
    with torch.no_grad():
        featurizer.judge.model.ln_f.bias[0] = torch.nan
    with pytest.raises(CellError, match="broken gives features that are not finite"):
        featurizer.features(["the"])


@pytest.mark.skipif(not MINILM.is_dir(), reason="no published encoder is beside this checkout")
def test_a_published_encoder_gives_what_transformers_gives() -> None:
    featurizer = Featurizer.load(resolve_checkpoint(str(MINILM), "test"))
    tokenizer, model = AutoTokenizer.from_pretrained(MINILM), AutoModel.from_pretrained(MINILM).eval()
    texts = ["A red kettle.", "The weather is fine today, isn't it?", ""]
    found = featurizer.features(texts)
    assert not featurizer.causal
    for text, row in zip(texts, found, strict=True):
        with torch.no_grad():
            state = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        assert row == pytest.approx(state.numpy(), abs=1e-5)
