"""twodice: a benchmark harness that keeps training-time and inference-time randomness apart."""

__version__ = "0.1.0"
