# Two commands: `make demo` and `make test`. Both set up what they need and may be run again at any time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-all test-heavy browser docs clean

help:  ## say what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 18

demo: $(VENV)/.demo-installed  ## install headstart with the starter models and run the main job on scikit-learn's digits
	@echo "== headstart compare digits: rank the starter models on 1,797 pictures of digits"
	$(BIN)/headstart compare digits --models 'starter/*'

test: $(VENV)/.test-installed  ## install what development needs, then lint, types, import rules and tests
	@echo "== lint"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "== types"
	$(BIN)/mypy
	@echo "== import rules"
	$(BIN)/lint-imports
	@echo "== tests"
	@# Two processes, each with one thread: networks this small gain nothing from more.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

test-all: $(VENV)/.test-installed browser  ## the longer tier: killed runs, the drop-in's networks, a real browser
	@# In the order of collection: files of one long test, which would come last, are then not left to one process.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "slow or browser"

test-heavy: $(VENV)/.test-installed  ## what takes longest: every network exported, a cluster in full, many kills, a wheel: an hour
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m heavy

browser: $(VENV)/.test-installed  ## install what drives the browser in the longer tier; Chromium itself comes from the system
	@$(BIN)/python -c "import playwright" 2>/dev/null || $(BIN)/pip install --quiet -e '.[browser]'
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  { echo "make test-all needs Chromium: install your system's package 'chromium'"; exit 1; }

docs: $(VENV)/.test-installed  ## build the documentation's site into site/; open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:  ## remove the virtual environment and what tools left
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@echo "== making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "headstart needs Python 3.11 or later; name one with PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-installed: pyproject.toml | $(BIN)/python
	@echo "== installing headstart with the starter models (the first time this fetches torch, some minutes)"
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[starter]'
	@touch $@

$(VENV)/.test-installed: pyproject.toml | $(BIN)/python
	@echo "== installing headstart with everything that development needs"
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[starter,heif,audit,train,parquet,remote,export,serve,cluster,docs,dev]'
	@touch $@ $(VENV)/.demo-installed
