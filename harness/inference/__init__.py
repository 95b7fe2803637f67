"""The inference die: keyed top-k sampling, one generation pass per checkpoint, and text metrics."""
