"""A generated language whose true distribution is known exactly: about 120 words, agreement, optional clauses.

Source: generated here (own grammar), from `data_seed`; no licence. Splits: `train`, `validation` and `test` are
independent samples of one distribution, so equal short sentences may stand in several (removing them would make the
known distribution wrong); `shift` is sampled with another mixture of the sentence templates. A row is a sentence.

The grammar is a probabilistic finite automaton (harness.data.automaton): a state has arcs (probability, words, next
state), and a word of an arc is drawn with probability proportional to 1/rank. No word stands on two arcs of one state.
Prompts begin where a sentence begins, so generated texts are judged exactly (harness.data.exact).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from harness.data.automaton import END, Arc, automaton, entropy, sample, words_per_sentence
from harness.data.exact import JUDGED, ExactJudge
from harness.data.splits import training_subset
from harness.data.task import JudgedText, Task, TaskData, TaskOptions, task


def words(text: str) -> tuple[str, ...]:
    """The words of a list written as text."""
    return tuple(text.split())


STEMS = words(
    "dog cat child teacher farmer horse bird king sailor baker doctor fox robot painter miller cook poet "
    "driver singer wolf weaver pilot"
)
PLURAL = {"child": "children", "fox": "foxes", "wolf": "wolves"}
NOUNS = {"sg": tuple(STEMS), "pl": tuple(PLURAL.get(stem, stem + "s") for stem in STEMS)}
ACTS = words("see follow help call find hear know thank trust praise")
MOVES = words("sleep wait sing run laugh rest")
ACT = {"sg": tuple(verb + "s" for verb in ACTS), "pl": tuple(ACTS)}
MOVE = {"sg": tuple(verb + "s" for verb in MOVES), "pl": tuple(MOVES)}
NAMES = words("anna peter maria tom olga")
ADJECTIVES = words("old young happy quiet clever small brave tired hungry kind")
ADVERBS = words("often slowly again today there gladly")
FRONTED = words("yesterday sometimes usually soon")
PLACES = words("garden kitchen forest market harbour school")
PREPOSITIONS = words("in near behind from")


def noun_phrase(name: str, after: Mapping[str, str]) -> dict[str, list[Arc]]:
    """The states of a noun phrase that begins in state `name`; `after` says where each number goes on."""
    both = [(0.35, NOUNS["sg"], after["sg"]), (0.35, NOUNS["pl"], after["pl"]), (0.3, ADJECTIVES, f"{name}.the")]
    return {
        name: [
            (0.45, ("the",), f"{name}.the"),
            (0.2, ("a",), f"{name}.sg"),
            (0.2, ("two", "many"), f"{name}.pl"),
            (0.15, NAMES, after["sg"]),
        ],
        f"{name}.the": both,
        **{f"{name}.{n}": [(0.75, NOUNS[n], after[n]), (0.25, ADJECTIVES, f"{name}.{n}")] for n in ("sg", "pl")},
    }


def grammar(statement: float, fronted: float, question: float, condition: float) -> dict[str, list[Arc]]:
    """The automaton with a mixture of the four sentence templates; the mixture shows in a sentence's first word."""
    subject = noun_phrase("subject", {"sg": "subject.done.sg", "pl": "subject.done.pl"})
    states: dict[str, list[Arc]] = {
        "start": [
            *((statement * p, first, state) for p, first, state in subject["subject"]),
            (fronted, FRONTED, "subject"),
            (question, ("who",), "main.sg"),
            (condition, ("if",), "if"),
        ],
        "tail": [(0.6, (".",), END), (0.2, ADVERBS, "stop"), (0.2, PREPOSITIONS, "place")],
        "place": [(1.0, ("the",), "place.noun")],
        "place.noun": [(1.0, PLACES, "stop")],
        "stop": [(1.0, (".",), END)],
        "if.move": [(1.0, (",",), "subject")],
        **subject,
        **noun_phrase("object", {"sg": "tail", "pl": "tail"}),
        **noun_phrase("if", {"sg": "if.done.sg", "pl": "if.done.pl"}),
    }
    for n in ("sg", "pl"):
        verbs: list[Arc] = [(0.5, ACT[n], "object"), (0.3, MOVE[n], "tail")]
        states[f"subject.done.{n}"] = [*verbs, (0.2, ("that",), f"relative.{n}")]
        states[f"relative.{n}"] = [(0.6, ACT[n], f"inner.{n}"), (0.4, MOVE[n], f"main.{n}")]
        states[f"main.{n}"] = [(p / 0.8, listed, state) for p, listed, state in verbs]
        states[f"if.done.{n}"] = [(1.0, MOVE[n], "if.move")]
        states |= noun_phrase(f"inner.{n}", {"sg": f"main.{n}", "pl": f"main.{n}"})
    return states


TRUE = automaton(grammar(statement=0.6, fronted=0.2, question=0.15, condition=0.05))
SHIFT = automaton(grammar(statement=0.15, fronted=0.15, question=0.35, condition=0.35))
JUDGE = ExactJudge(TRUE)


class ToyLanguageOptions(TaskOptions):
    """What a grid may set: the seed of the data (not of the study) and the numbers of sentences."""

    data_seed: int = Field(default=0, ge=0, lt=2**64)
    train: int = Field(default=3000, ge=2, le=100_000)
    validation: int = Field(default=400, ge=1, le=100_000)
    test: int = Field(default=400, ge=1, le=100_000)
    shift: int = Field(default=400, ge=1, le=100_000)


@task("toy-language")
class ToyLanguage(Task):
    """The generated language; `extra` holds entropies (nats per sentence) and mean lengths (words)."""

    kind = "language"
    Options = ToyLanguageOptions
    judged: ClassVar[Mapping[str, tuple[str, str]]] = JUDGED

    def load(self, options: ToyLanguageOptions, data: Path | None) -> TaskData:
        """See Task.load; `data` is not used."""
        splits = {}
        for tag, split in enumerate(("train", "validation", "test", "shift"), start=1):
            rng = np.random.Generator(np.random.Philox(key=np.array([options.data_seed, tag], dtype=np.uint64)))
            of = SHIFT if split == "shift" else TRUE
            splits[split] = pd.DataFrame({"text": [sample(rng, of) for _ in range(getattr(options, split))]})
        splits["train"] = training_subset(splits["train"], options.train_size)
        nats = {"true": entropy(TRUE), "shift": entropy(SHIFT)}
        lengths = {"true": words_per_sentence(TRUE), "shift": words_per_sentence(SHIFT)}
        note = (
            f"independent samples of a known distribution: {nats['true']:.4f} nats and {lengths['true']:.3f} words a "
            f"sentence (shift: {nats['shift']:.4f} and {lengths['shift']:.3f}); splits may share sentences"
        )
        extra = {"entropy": nats, "words": lengths}
        return TaskData(kind="language", splits=splits, prompts_at="documents", note=note, extra=extra)

    def judge(self, text: JudgedText) -> Mapping[str, float]:
        """See ExactJudge.judge."""
        return JUDGE.judge(text)

    def judge_set(self, texts: Sequence[JudgedText]) -> Mapping[str, float]:
        """See ExactJudge.judge_set."""
        return JUDGE.judge_set(texts)
