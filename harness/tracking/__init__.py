"""MLflow as a mirror of the store: written by one process, never read back for a number."""
