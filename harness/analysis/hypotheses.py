"""The claims that a report judges, declared before any number is seen. Nothing is computed here.

A claim is judged for every task and model of a grid, on paired training replicates. `arms` are the kinds of regimes
(harness/regimes/kinds.py) that it is about, each arm of such a kind is a row; `against` is the kind of the arm that
they are compared with. Margins are part of the claim: change them here, before the study, and never after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.evaluation.described import DIVERSITY, ENTROPY
from harness.regimes.kinds import DROPOUT, DYNAMIC, EARLY, LATE, NONE, RESIDUAL, STATIC, STRUCTURED, WEIGHT_DECAY

CLAIM, CONSTRUCTED = "claim", "by construction"
SUPPORTED, NOT_SUPPORTED, UNDECIDED, NOT_APPLICABLE = "supported", "not supported", "undecided", "not applicable"
VERDICTS = (SUPPORTED, NOT_SUPPORTED, UNDECIDED, NOT_APPLICABLE)
LEVEL = 0.05  # of the Holm-adjusted p, two-sided
MOST_FAILED = 0.25  # share of an arm's runs: of survivors alone nothing is concluded

# The split that generalisation is judged on.
TEST, TRAIN = "test", "train"
# Metrics of which a higher value is better; of all others here a lower one is.
HIGHER_IS_BETTER = ("accuracy",)

# When the arm without dropout under-fits or over-fits, in shares of its loss on the test split. It over-fits where
# the gap to the training data is above `wide_gap`, or its last validation loss lies more than `rise` above its lowest
# one; it under-fits where the gap is below `narrow_gap` and the loss did not rise. Each with 95 % confidence over the
# training replicates: where an interval holds the bound, the claim is undecided.
FIT: Mapping[str, float] = {"wide_gap": 0.10, "narrow_gap": 0.05, "rise": 0.05}


@dataclass(frozen=True)
class Hypothesis:
    """One claim.

    Attributes:
        id: how tables name it.
        statement: what is claimed.
        holds: what is estimated, and when the claim holds.
        arms: kinds of the regimes that it is about; empty: about one arm, or about none.
        against: kind of the arm that they are compared with.
        metrics: each is judged on its own row, where the grid has it.
        margin: in the unit that `holds` says.
        needs: what a grid must have beside these arms and metrics.
        kind: a claim, or a check of what holds by construction.
    """

    id: str
    statement: str
    holds: str
    arms: tuple[str, ...] = ()
    against: str = ""
    metrics: tuple[str, ...] = field(default=("loss",))
    margin: float = 0.0
    needs: str = ""
    kind: str = CLAIM


HYPOTHESES: tuple[Hypothesis, ...] = (
    Hypothesis(
        id="dropout-generalises",
        statement="Dropout improves generalisation: the test score is not worse, and the gap to the training data is "
        "smaller",
        holds="both: the test score is worse by less than the margin (a share of the score without dropout), and the "
        "gap between train and test is smaller (no margin); a gap alone is no generalisation: dropout that "
        "ruins the training fit narrows it",
        arms=DROPOUT,
        against=NONE,
        metrics=("loss", "accuracy"),
        margin=0.01,
    ),
    Hypothesis(
        id="diversity-small",
        statement="Dropout's effect on the diversity of texts is small beside that of top-k",
        holds="of every dropout arm: |mean over all k of (dropout - none)| is below the margin, a share of the "
        "difference between the largest and the smallest k",
        arms=DROPOUT,
        against=NONE,
        metrics=("distinct-2", "replicate-distinctness"),
        margin=0.25,
        needs="texts at two or more k",
    ),
    Hypothesis(
        id="interaction-small",
        statement="Dropout and top-k interact little: what k does to diversity hardly depends on dropout",
        holds="of every dropout arm: |(largest k - smallest k) with dropout - the same without| is below the margin, "
        "a share of the difference between the largest and the smallest k",
        arms=DROPOUT,
        against=NONE,
        metrics=("distinct-2", "replicate-distinctness"),
        margin=0.25,
        needs="texts at two or more k",
    ),
    Hypothesis(
        id="greedy-loops",
        statement="Greedy decoding loops, and top-k sampling cures it",
        holds="both, without dropout: greedy repeats more than sampling from the largest finite k, by more than the "
        "margin (a share of n-grams, or of texts), and sampling leaves less than half of it",
        against=NONE,
        metrics=("seq-rep-4", "repetition-loop"),
        margin=0.05,
        needs="texts at k = 1 and at a larger k",
    ),
    Hypothesis(
        id="early-underfitting",
        statement="Early dropout helps a model that under-fits",
        holds="the test loss is lower than without dropout",
        arms=(EARLY,),
        against=NONE,
        needs=f"an arm without dropout whose gap between train and test is below {FIT['narrow_gap']:.0%} of its test "
        "loss, and whose validation loss did not rise",
    ),
    Hypothesis(
        id="late-overfitting",
        statement="Late or standard dropout helps a model that over-fits",
        holds="the test loss is lower than without dropout",
        arms=(LATE, STATIC),
        against=NONE,
        needs=f"an arm without dropout whose gap between train and test is above {FIT['wide_gap']:.0%} of its test "
        f"loss, or whose validation loss ends more than {FIT['rise']:.0%} above its lowest",
    ),
    Hypothesis(
        id="dynamic-faster",
        statement="Dynamic dropout reaches a given loss in fewer steps than a fixed rate",
        holds="the steps until the validation loss is reached, or until training ends where it never is (a restricted "
        "mean: runs that never reach it stay in), are fewer",
        arms=(DYNAMIC,),
        against=STATIC,
        metrics=("steps-to-loss-*",),
        needs="training.steps_to_loss, a fixed-rate arm (else none), and runs that reach the loss",
    ),
    Hypothesis(
        id="residual-scarce",
        statement="Residual dropout helps when data is scarce",
        holds="at the smallest size of the training set, the test loss is lower than without dropout",
        arms=(RESIDUAL,),
        against=NONE,
        needs="a grid with train_size; judged at the smallest",
    ),
    Hypothesis(
        id="residual-scarcer",
        statement="Residual dropout helps more when data is scarce than when it is not",
        holds="what it takes off the test loss at the smallest size of the training set is more than at the largest",
        arms=(RESIDUAL,),
        against=NONE,
        needs="a grid with two or more train_size; judged at the smallest",
    ),
    Hypothesis(
        id="weight-decay-close",
        statement="No dropout but more weight decay comes close to dropout",
        holds="|test loss with weight decay - with dropout| is below the margin, a share of the loss with dropout; of "
        "the fixed-rate arms the one with the lowest mean validation loss",
        arms=(WEIGHT_DECAY,),
        against=STATIC,
        margin=0.02,
    ),
    Hypothesis(
        id="heads-spread",
        statement="Dropout spreads attention heads",
        holds="heads differ more from each other (head diversity), or look at more positions (attention entropy), in "
        "nats, than without dropout; each is a row",
        arms=(STATIC, STRUCTURED),
        against=NONE,
        metrics=(DIVERSITY, ENTROPY),
        needs="training.diagnostics",
    ),
    Hypothesis(
        id="dropout-off",
        statement="Dropout is off at inference",
        holds="identical-seed repeats give the same scores and texts to the last bit; that every run evaluates "
        "without any active dropout is asserted while it runs, and a cell where it is not fails",
        metrics=("all",),
        needs="replicates.repeats",
        kind=CONSTRUCTED,
    ),
    Hypothesis(
        id="top-k-untouched",
        statement="Top-k leaves the model's generalisation untouched",
        holds="every checkpoint that texts were sampled from has one value of every score, whatever k is",
        metrics=("all",),
        needs="texts",
        kind=CONSTRUCTED,
    ),
)
