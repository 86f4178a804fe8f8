# `make help` lists the targets. Everything runs in .venv, which the first target makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test check format bench bench-serving bench-method bench-batchnorm bench-search bench-promotion ui clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: thaw needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@rm -f $(VENV)/.installed-dev $(VENV)/.installed-bench
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

run: $(VENV)/.installed  ## Install, run the whole pipeline (dvc repro), show what came out
	thaw check
	dvc repro
	@thaw report

test: $(VENV)/.installed-dev  ## Install what tests need and run the whole suite
	pytest

check: $(VENV)/.installed-dev  ## Lint, types, import rules
	ruff format --check .
	ruff check .
	mypy
	lint-imports

format: $(VENV)/.installed-dev  ## Format the code and fix what can be fixed
	ruff format .
	ruff check --fix .

bench: $(VENV)/.installed-dev  ## Measure the figures the docs quote (some minutes)
	python -m benchmarks.spine

bench-method: $(VENV)/.installed-bench  ## thaw against the plain ways, on clip art and digits (about an hour)
	python -m benchmarks.method

bench-batchnorm: $(VENV)/.installed-dev  ## BatchNorm policies against batch sizes (about ten minutes)
	python -m benchmarks.batchnorm

bench-serving: $(VENV)/.installed-dev  ## Measure `thaw serve`, `thaw predict` and drift (a quarter of an hour)
	python -m benchmarks.serving
	python -m benchmarks.drift

bench-promotion: $(VENV)/.installed-dev  ## Measure the gate and racing promotions (about an hour)
	python -m benchmarks.promotion

bench-search: $(VENV)/.installed-dev  ## The search against naive trials, with killed workers (some hours)
	python -m benchmarks.search

ui: $(VENV)/.installed  ## Open the MLflow UI on this project's store: http://127.0.0.1:5000
	thaw ui

clean: $(VENV)/.installed  ## Remove what the stages wrote and cached (not the MLflow store, not DVC's cache)
	thaw check
	rm -rf models/warmup_head models/unfreeze models/fold_bn data/prepared .thaw
