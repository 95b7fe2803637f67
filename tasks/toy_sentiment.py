"""Generated sentences with a sentiment, label noise in train, and a shifted split.

Source: generated here (own grammar), from `data_seed`; no licence. The rule: a clause has the sign of its adjective,
every negation flips it, and of two clauses joined by `but`, `yet` or `although` the main clause (the last) decides.
Splits: `train` (labels flipped with probability `label_noise`; `clean_label` holds the true one), `validation` and
`test` (clean, same grammar), `shift` (clean; pairs of adjectives that the others never join, three clauses, double
negation). No sentence is in two splits.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from harness.data.splits import training_subset
from harness.data.task import Task, TaskData, TaskOptions, task
from harness.errors import UserError


def words(text: str) -> tuple[str, ...]:
    """The words of a list written as text."""
    return tuple(text.split())


THINGS = words(
    "film story plot cast acting script ending music scenery dialogue pacing camera lighting hero villain comedy drama "
    "book novel chapter song album singer concert hotel room breakfast waiter soup dinner service garden view museum "
    "painting essay poem trailer costume finale opening chorus guitar piano castle bridge market bakery cafe menu desk "
    "window lobby terrace poster title narrator director"
)
GOOD = words("good great lovely charming funny brilliant clever moving fresh warm elegant superb")
BAD = words("bad awful boring dull clumsy stale cold ugly shallow noisy tedious lazy")
VERBS = words("is was seems seemed feels felt looks looked sounds remains")
INTENSIFIERS = words("very really quite truly rather extremely surprisingly simply fairly utterly")
NEGATIONS = words("not never hardly")
DENIALS = ("nobody would say that", "it is false that", "i doubt that")
OPENERS = words("honestly overall frankly again today sadly luckily")
DETERMINERS = words("the this that our their every")
JOINTS = words("but yet")


class Grammar:
    """Sentences of one split, drawn from one generator; `shifted` is the grammar of the shifted split."""

    def __init__(self, rng: np.random.Generator, shifted: bool) -> None:
        self.rng = rng
        self.shifted = shifted

    def pick(self, choices: tuple[str, ...]) -> str:
        """One of the words, all equally likely."""
        return choices[int(self.rng.random() * len(choices))]

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return bool(self.rng.random() < p)

    def adjectives(self, choices: tuple[str, ...]) -> str:
        """One adjective, or two of one sign; a quarter of the pairs is kept for the shifted split alone."""
        first, second = self.pick(choices), self.pick(choices)
        held_out = (choices.index(first) + choices.index(second)) % 4 == 0
        if first != second and held_out == self.shifted and self.chance(0.8 if self.shifted else 0.3):
            return f"{first} and {second}"
        return f"{self.pick(INTENSIFIERS)} {first}" if self.chance(0.5) else first

    def clause(self) -> tuple[str, int]:
        """A clause and its sign (0 or 1); two negations only in the shifted split."""
        sign = int(self.chance(0.5))
        negated = self.chance(0.3 if self.shifted else 0.15)
        denied = self.chance(0.6 if self.shifted else 0.1) if negated == self.shifted else False
        verb = f"{self.pick(VERBS)} {self.pick(NEGATIONS)}" if negated else self.pick(VERBS)
        adjectives = self.adjectives(GOOD if sign else BAD)
        text = f"{self.pick(DETERMINERS)} {self.pick(THINGS)} {verb} {adjectives}"
        return (f"{self.pick(DENIALS)} {text}" if denied else text), (sign + negated + denied) % 2

    def sentence(self) -> tuple[str, int]:
        """A sentence and its label."""
        text, sign = self.clause()
        if self.shifted or self.chance(0.3):
            last, sign = self.clause()
            text = f"although {text} , {last}" if self.chance(0.3) else f"{text} , {self.pick(JOINTS)} {last}"
        if self.shifted and self.chance(0.5):
            last, sign = self.clause()
            text = f"{text} , {self.pick(JOINTS)} {last}"
        return (f"{self.pick(OPENERS)} {text} ." if self.chance(0.3) else f"{text} ."), sign


class ToySentimentOptions(TaskOptions):
    """What a grid may set: the seed of the data (not of the study), label noise, and numbers of sentences."""

    data_seed: int = Field(default=0, ge=0, lt=2**64)
    label_noise: float = Field(default=0.1, ge=0, le=0.5, description="probability of a flipped training label")
    train: int = Field(default=800, ge=2, le=20_000)
    validation: int = Field(default=300, ge=1, le=20_000)
    test: int = Field(default=400, ge=1, le=20_000)
    shift: int = Field(default=400, ge=1, le=20_000)


@task("toy-sentiment")
class ToySentiment(Task):
    """The generated sentences; a row has text, label and clean_label."""

    kind = "classification"
    Options = ToySentimentOptions

    def load(self, options: ToySentimentOptions, data: Path | None) -> TaskData:
        """See Task.load; `data` is not used. The held-out splits do not depend on the size of train."""
        seen: set[str] = set()
        splits = {}
        for tag, split in enumerate(("test", "validation", "shift", "train"), start=1):
            rng = np.random.Generator(np.random.Philox(key=np.array([options.data_seed, tag], dtype=np.uint64)))
            rows = distinct(Grammar(rng, split == "shift"), getattr(options, split), seen)
            splits[split] = pd.DataFrame(rows, columns=["text", "clean_label"])
        noise = np.random.Generator(np.random.Philox(key=np.array([options.data_seed, 0], dtype=np.uint64)))
        flipped = noise.random(options.train) < options.label_noise
        for split, frame in splits.items():
            frame["label"] = frame["clean_label"] ^ (flipped.astype("int64") if split == "train" else 0)
        splits["train"] = training_subset(splits["train"], options.train_size)
        wrong = int((splits["train"]["label"] != splits["train"]["clean_label"]).sum())
        return TaskData(
            kind="classification",
            splits=splits,
            labels=("negative", "positive"),
            metrics=("accuracy",),
            note=f"{wrong} of {len(splits['train'])} training labels are flipped; all other splits have clean labels",
        )


def distinct(grammar: Grammar, count: int, seen: set[str]) -> list[tuple[str, int]]:
    """`count` sentences that were not seen before; they are added to `seen`."""
    rows: list[tuple[str, int]] = []
    for _ in range(20 * count + 1000):
        text, label = grammar.sentence()
        if text not in seen:
            seen.add(text)
            rows.append((text, label))
        if len(rows) == count:
            return rows
    raise UserError(f"task toy-sentiment: the grammar has no {count} distinct sentences left")
