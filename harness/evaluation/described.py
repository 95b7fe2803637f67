"""Split metrics that no registered metric computes: what they are, readable without torch."""

from __future__ import annotations

ENTROPY, DIVERSITY = "attention-entropy", "head-diversity"
MEMORISED = "memorised-noise"
_MC = "Gal and Ghahramani 2016, arXiv 1506.02142"
_MC_MEAN = "of the mean class probabilities of training.mc_passes forwards with dropout on"

# name -> (what it is, source)
DESCRIBED: dict[str, tuple[str, str]] = {
    ENTROPY: ("training.diagnostics: entropy of a query's attention, mean over heads, nats", "-"),
    DIVERSITY: (
        "training.diagnostics: Jensen-Shannon divergence between heads of a layer, mean over pairs, nats, 0 to ln 2",
        "Lin 1991; Clark et al. 2019, arXiv 1906.04341; the averaging is ours",
    ),
    MEMORISED: (
        "share of the wrongly labelled training examples whose wrong label is predicted, 0 to 1; split train of tasks "
        "that flip labels",
        "cf. Arpit et al. 2017, arXiv 1706.05394",
    ),
    "mc-loss": (f"cross-entropy {_MC_MEAN}, nats", _MC),
    "mc-accuracy": (f"accuracy {_MC_MEAN}, 0 to 1", _MC),
    "mc-brier": (f"Brier score {_MC_MEAN}, 0 to 2", _MC),
    "mc-ece": (f"expected calibration error {_MC_MEAN}, 0 to 1", _MC),
    "mc-predictive-entropy": (f"entropy {_MC_MEAN}, mean over examples, nats", _MC),
    "mc-mutual-information": (
        "predictive entropy minus the mean entropy of single forwards: what the forwards disagree about, nats",
        "Houlsby et al. 2011, arXiv 1112.5745 (BALD)",
    ),
}
