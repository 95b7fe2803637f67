"""The training die: dropout sites, rate schedules and the audit. Schedules and regimes do not import torch."""
