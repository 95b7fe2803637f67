"""The training die at work: models, keyed loaders, the Lightning module, and fitting one cell."""
