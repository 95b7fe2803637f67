"""The sampler against theory: the law of every draw, the coupling of two settings, and what must never be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawing import draw, fits, level_keys, random_logits, theory
from scipy import stats
from transformers import GPT2Config, GPT2LMHeadModel

from harness.data.task import load_task
from harness.inference import noise

Setting = tuple[int, float, float, float]  # k, temperature, top_p, min_p
ALL = 10_000
SETTINGS: list[Setting] = [
    (2, 1.0, 1.0, 0.0),
    (5, 1.0, 1.0, 0.0),
    (20, 0.7, 1.0, 0.0),
    (20, 1.5, 1.0, 0.0),
    (ALL, 1.0, 1.0, 0.0),
    (ALL, 0.5, 1.0, 0.0),
    (ALL, 1.0, 0.9, 0.0),
    (ALL, 0.7, 0.5, 0.0),
    (ALL, 1.3, 0.99, 0.0),
    (ALL, 1.0, 1.0, 0.1),
    (ALL, 1.5, 1.0, 0.02),
    (20, 1.0, 0.8, 0.0),
    (20, 1.3, 0.95, 0.1),
    (40, 0.9, 1.0, 0.05),
    (ALL, 1.0, 0.95, 0.05),
]


@pytest.fixture(scope="module")
def trained_logits() -> torch.Tensor:
    """float32 [4, V]: next-word logits of a tiny GPT-2, trained here on the toy language, after four real prefixes."""
    texts = load_task("toy-language", {"train": 600}, None).splits["train"]["text"].tolist()
    ids = {word: place for place, word in enumerate(sorted({w for text in texts for w in text.split()}), start=1)}
    rows = [torch.tensor([0, *(ids[word] for word in text.split())]) for text in texts]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(
            GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=len(ids) + 1, n_positions=64, bos_token_id=0)
        ).train()
        train(model, rows)
    with torch.no_grad():
        model.eval()
        return torch.stack([model(row[None, :length]).logits[0, -1] for length, row in enumerate(rows[:4], start=1)])


def train(model: GPT2LMHeadModel, rows: list[torch.Tensor], steps: int = 60, batch: int = 16) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(steps):
        part = [rows[(step * batch + i) % len(rows)] for i in range(batch)]
        padded = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
        labels = torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=-100)
        model(input_ids=padded, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()


def p_value(logits: torch.Tensor, setting: Setting, number: int) -> float:
    node = torch.zeros(number, dtype=torch.int64)
    return fits(
        draw(logits[None], *setting, keys=noise.mix(torch.arange(number)), node=node).tokens, theory(logits, *setting)
    )


@pytest.mark.parametrize("setting", SETTINGS)
def test_law_is_softmax_over_the_candidates(setting: Setting) -> None:
    # 20,000 draws each, chi-square at p > 1e-4: false alarm 1e-4 for each of the settings.
    assert p_value(random_logits(1, 60)[0], setting, 20_000) > 1e-4


@pytest.mark.parametrize("setting", [setting for setting in SETTINGS if setting[1] <= 1])
def test_law_of_a_trained_model(trained_logits: torch.Tensor, setting: Setting) -> None:
    # Four prefixes, 10,000 draws each, chi-square at p > 1e-4: false alarm 4e-4 for each of the settings.
    assert min(p_value(logits, setting, 10_000) for logits in trained_logits) > 1e-4


def test_the_trained_model_has_learnt_something(trained_logits: torch.Tensor) -> None:
    law = trained_logits.double().softmax(1)
    entropy = -(law * law.log()).sum(1)
    assert entropy.mean() < 0.7 * np.log(trained_logits.shape[1])


def test_law_is_noticed_when_it_is_another() -> None:
    logits = random_logits(1, 60)[0]
    tokens = draw(logits.expand(20_000, -1), 20).tokens
    assert fits(tokens, theory(logits, 20, 1.1)) < 1e-4
    assert fits(tokens, theory(logits, 19)) == 0


@pytest.mark.parametrize(
    "setting", [(ALL, 1.0, 1.0, 0.0), (ALL, 0.7, 1.0, 0.0), (ALL, 1.0, 0.9, 0.0), (600, 1.0, 0.9, 0.0)]
)
def test_law_over_a_large_vocabulary(setting: Setting) -> None:
    # Deciles of probability as cells; chi-square with 10,000 draws at p > 1e-4: false alarm 1e-4 for each of four.
    number, vocabulary = 10_000, 2000
    logits = random_logits(1, vocabulary, seed=8, scale=0.5)
    tokens = draw(logits, *setting, keys=level_keys(number), node=torch.zeros(number, dtype=torch.int64)).tokens
    law = theory(logits[0], *setting)
    cell = np.argsort(np.argsort(law)) * 10 // vocabulary
    expected = np.bincount(cell, law, minlength=10)
    counts = np.bincount(cell[tokens.numpy()], minlength=10)
    assert counts[expected == 0].sum() == 0
    possible = expected > 0
    assert stats.chisquare(counts[possible], number * expected[possible]).pvalue > 1e-4


NESTED: list[tuple[Setting, Setting]] = [
    ((5, 1.0, 1.0, 0.0), (40, 1.0, 1.0, 0.0)),
    ((10, 0.7, 1.0, 0.0), (200, 0.7, 1.0, 0.0)),
    ((40, 1.0, 1.0, 0.0), (ALL, 1.0, 1.0, 0.0)),
    ((ALL, 1.0, 0.5, 0.0), (ALL, 1.0, 0.9, 0.0)),
    ((ALL, 0.7, 0.9, 0.0), (ALL, 0.7, 1.0, 0.0)),
    ((ALL, 1.0, 1.0, 0.3), (ALL, 1.0, 1.0, 0.05)),
    ((10, 1.0, 1.0, 0.0), (ALL, 1.0, 0.9, 0.0)),
]


def check_coupling(logits: torch.Tensor, inner: Setting, outer: Setting, number: int = 20_000) -> None:
    together = logits.expand(number, -1)
    agreement = int((draw(together, *inner).tokens == draw(together, *outer).tokens).sum())
    largest = float(np.minimum(theory(logits, *inner), theory(logits, *outer)).sum())
    assert stats.binomtest(agreement, number, min(largest, 1.0)).pvalue > 1e-4


@pytest.mark.parametrize(("inner", "outer"), NESTED)
def test_two_settings_agree_as_often_as_any_coupling_can(inner: Setting, outer: Setting) -> None:
    # Agreement of 20,000 draws is binomial around sum min(p, q); at p > 1e-4: false alarm 1e-4 for each pair.
    check_coupling(random_logits(1, 300, scale=1.0)[0], inner, outer)


@pytest.mark.parametrize(("inner", "outer"), NESTED[:6])
def test_two_settings_of_a_trained_model_agree_as_often(
    trained_logits: torch.Tensor, inner: Setting, outer: Setting
) -> None:
    # As above; false alarm 1e-4 for each pair.
    check_coupling(trained_logits[1], inner, outer)


def test_nothing_outside_the_candidates_is_drawn_in_ten_million_draws() -> None:
    vocabulary, levels, calls = 12, 4096, 41
    settings = [(k, t, p, m) for k in (1, 2, 5, 11, 12) for t in (0.7, 1.5) for p in (0.6, 1.0) for m in (0.0, 0.1)]
    settings += [(7, 1.0, p, m) for p in (0.3, 0.8, 0.95, 0.999) for m in (0.0, 0.02, 0.1, 0.5, 0.9)]
    logits = random_logits(31, vocabulary, seed=2, scale=1.5)
    possible = torch.tensor(np.array([[theory(row, *s) > 0 for s in settings] for row in logits]))
    asked = [torch.tensor(column).repeat(levels) for column in zip(*settings, strict=True)]
    keys = noise.mix(torch.arange(levels)).repeat_interleave(len(settings))
    rows = torch.arange(len(keys))
    outside = 0
    for call in range(calls):
        node = (rows + call) % len(logits)
        tokens = draw(logits, *asked, index=call, keys=keys, node=node).tokens
        outside += int((~possible[node, rows % len(settings), tokens]).sum())
    assert calls * len(rows) >= 10_000_000
    assert outside == 0
