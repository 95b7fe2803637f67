"""Languages that are probabilistic finite automata over words: samples, and exact probabilities and entropies.

A state has words, each with its probability and the state that follows; a sentence begins in state `start`, ends in
state `end`, and is its words joined by one space. A state's words differ, so a sentence has one path at most: its
probability is the product along the path, and entropies are linear equations in the states (an absorbing Markov chain,
Kemeny and Snell 1960). `beginning` conditions on any string that a sentence may begin with, cut in a word, too.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

Arc = tuple[float, tuple[str, ...], str]
Grammar = Mapping[str, Sequence[Arc]]
Automaton = Mapping[str, Mapping[str, tuple[float, str]]]

START = "start"
END = "end"


@dataclass(frozen=True)
class Beginning:
    """A string that a sentence may begin with.

    Attributes:
        state: after its whole words (those with a space behind them).
        partial: what follows the last space: a word, the first part of one, or nothing.
        log_probability: that a sentence begins so, nats.
        log_mass: that the next word of `state` begins with `partial`, nats.
        entropy: of the rest of the sentence, nats.
    """

    state: str
    partial: str
    log_probability: float
    log_mass: float
    entropy: float


def automaton(arcs: Grammar) -> Automaton:
    """State -> word -> (probability, next state); along an arc the word of rank r has probability ~ 1/r (Zipf)."""
    table: dict[str, dict[str, tuple[float, str]]] = {}
    for state, choices in arcs.items():
        table[state] = {}
        for p, listed, to in choices:
            total = sum(1 / rank for rank in range(1, len(listed) + 1))
            table[state] |= {word: (p / rank / total, to) for rank, word in enumerate(listed, start=1)}
    return table


def sample(rng: np.random.Generator, of: Automaton, state: str = START) -> str:
    """The words from `state` to the end of a sentence, joined by spaces; one uniform number a word, inverted."""
    sentence = []
    while state != END:
        edges = list(accumulate(p for p, _ in of[state].values()))
        word, (_, state) = list(of[state].items())[bisect_right(edges, rng.random() * edges[-1])]
        sentence.append(word)
    return " ".join(sentence)


def log_probability(words: Sequence[str], of: Automaton, state: str = START) -> float:
    """Log (nats) of the probability that exactly these words lead from `state` to the end; -inf if they cannot."""
    total = 0.0
    for word in words:
        if state == END or word not in of[state]:
            return -math.inf
        p, state = of[state][word]
        total += math.log(p)
    return total if state == END else -math.inf


def beginning(text: str, of: Automaton, entropies: Mapping[str, float]) -> Beginning | None:
    """What is known once a sentence begins with `text`; None if no sentence does.

    p(text) is the probability of its whole words times the summed probability of the words that begin with its last
    part. A rest belongs to one of these words, so its entropy is theirs (renormalised) plus that of what follows each.

    Args:
        text: all of the sentence so far, maybe empty, maybe a whole sentence.
        of: the language.
        entropies: of the rest of a sentence from each state (`state_entropies`), nats.
    """
    *whole, partial = text.split(" ")
    state, total = START, 0.0
    for word in whole:
        if state == END or word not in of[state]:
            return None
        p, state = of[state][word]
        total += math.log(p)
    open_words = [] if state == END else [arc for word, arc in of[state].items() if word.startswith(partial)]
    if not open_words:
        return None
    mass = math.fsum(p for p, _ in open_words)
    rest = math.fsum(p / mass * (math.log(mass / p) + entropies[to]) for p, to in open_words)
    return Beginning(state, partial, total + math.log(mass), math.log(mass), rest)


def rest_log_probability(begun: Beginning, rest: str, of: Automaton) -> float:
    """Log p(rest | beginning), nats: that the sentence goes on with `rest` and ends there; -inf if it cannot.

    It is p(sentence) / p(beginning), the factors of the whole words left out, which stand in both.
    """
    return log_probability((begun.partial + rest).split(" "), of, begun.state) - begun.log_mass


def _steps(of: Automaton) -> tuple[dict[str, int], np.typing.NDArray[np.float64]]:
    """Number of each state, and the probability of each step between two states, [states, states]."""
    names = {name: i for i, name in enumerate(of)}
    steps = np.zeros((len(names), len(names)))
    for name, choices in of.items():
        for p, to in choices.values():
            if to != END:
                steps[names[name], names[to]] += p
    return names, steps


def visits(of: Automaton) -> dict[str, float]:
    """Expected visits of each state in one sentence: v = e_start + P'v."""
    names, steps = _steps(of)
    start = np.array([name == START for name in names], dtype=float)
    return dict(zip(names, np.linalg.solve(np.eye(len(names)) - steps.T, start).tolist(), strict=True))


def _next_word_entropy(of: Automaton, state: str) -> float:
    return -sum(p * math.log(p) for p, _ in of[state].values())


def entropy(of: Automaton) -> float:
    """Exact entropy of a sentence in nats: the entropy of each state's next word, times its expected visits."""
    return sum(v * _next_word_entropy(of, state) for state, v in visits(of).items())


def state_entropies(of: Automaton) -> dict[str, float]:
    """Exact entropy (nats) of the rest of a sentence from each state, the end included: h = (next word's) + Ph."""
    names, steps = _steps(of)
    local = np.array([_next_word_entropy(of, name) for name in names])
    solved = np.linalg.solve(np.eye(len(names)) - steps, local).tolist()
    return {**dict(zip(names, solved, strict=True)), END: 0.0}


def words_per_sentence(of: Automaton) -> float:
    """Exact expected number of words, the final `.` included: every visit of a state writes one word."""
    return sum(visits(of).values())
