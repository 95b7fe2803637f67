# Everything runs from a fresh clone: the targets make the environment they need.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test test-all lint bench constraints clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make .venv with the pinned packages

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("twodice needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY) ## run the main job on the embedded default: tables, figures and an MLflow store
	$(BIN)/twodice run quick

test: $(READY) lint ## lint, then all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(READY) lint ## also the slow tests, on real data where it is there
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'slow or not slow'

lint: $(READY) ## ruff and mypy --strict
	$(BIN)/ruff check harness tasks tests
	$(BIN)/ruff format --check harness tasks tests
	$(BIN)/mypy

bench: $(READY) ## compare speed side by side with what one would otherwise use
	$(BIN)/python tests/benchmarks/loop.py
	$(BIN)/python tests/benchmarks/training.py
	$(BIN)/python tests/benchmarks/generation.py
	$(BIN)/python tests/benchmarks/self_bleu.py
	$(BIN)/python tests/benchmarks/tables.py
	$(BIN)/python tests/benchmarks/report.py

constraints: ## resolve the newest allowed packages anew, in a throw-away environment
	rm -rf .constraints && $(PYTHON) -m venv .constraints
	.constraints/bin/python -m pip install --quiet --editable '.[dev]'
	{ echo '# Resolved on Python 3.11. Regenerate with: make constraints'; \
	  .constraints/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt
	rm -rf .constraints

clean: ## remove the environment and caches, never results or reports
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
