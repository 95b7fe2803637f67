"""Self-BLEU against the common all-pairs loop of NLTK: `python tests/benchmarks/self_bleu.py`.

Synthetic texts of Zipfian tokens; both sides in one run, and their values must agree to 1e-12.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from harness.inference.metrics import METRICS, Text

VOCABULARY = 5000
TOLERANCE = 1e-12

Sequences = list[tuple[int, ...]]


def synthetic(texts: int, tokens: int) -> Sequences:
    """Token ids with probabilities of 1 / rank."""
    dice, ids = random.Random(0), range(VOCABULARY)
    weights = [1 / (rank + 1) for rank in ids]
    return [tuple(dice.choices(ids, weights, k=tokens)) for _ in range(texts)]


def ours(sequences: Sequences, orders: int) -> float:
    """Self-BLEU of twodice."""
    return METRICS[f"self-bleu-{orders}"].function([Text(sequence) for sequence in sequences])


def all_pairs(sequences: Sequences, orders: int) -> float:
    """Each text against all the others, one `sentence_bleu` a text."""
    smoothing, weights = SmoothingFunction().method1, (1 / orders,) * orders
    scores = [
        sentence_bleu(sequences[:place] + sequences[place + 1 :], sequence, weights, smoothing)
        for place, sequence in enumerate(sequences)
    ]
    return float(sum(scores) / len(scores))


def main() -> None:
    """Prints both times and their ratio; the loop takes a minute or more for 1,000 texts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--orders", type=int, choices=(4, 5), default=4)
    arguments = parser.parse_args()
    sequences = synthetic(arguments.texts, arguments.tokens)
    ours(synthetic(10, arguments.tokens), arguments.orders)  # warms up, and keeps nothing of the texts to come
    start = time.perf_counter()
    value = ours(sequences, arguments.orders)
    between = time.perf_counter()
    expected = all_pairs(sequences, arguments.orders)
    fast, slow = between - start, time.perf_counter() - between
    if abs(value - expected) > TOLERANCE:
        sys.exit(f"self-BLEU differs: twodice {value!r}, NLTK {expected!r}")
    asked = f"self-BLEU-{arguments.orders} of {arguments.texts} texts of {arguments.tokens} tokens"
    print(f"{asked}: {value:.6f} on both sides")
    print(f"  all-pairs loop of NLTK  {slow:8.3f} s")
    print(f"  twodice                 {fast:8.3f} s   {slow / fast:5.0f} x faster")


if __name__ == "__main__":
    main()
