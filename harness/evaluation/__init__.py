"""Generalisation: every split in eval mode, the task's metrics, per-example predictions."""
