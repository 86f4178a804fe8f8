# `make help` lists the targets. Everything runs in .venv, which the first target makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help run test test-pipelines test-gpu test-browser test-docs test-wheel test-services soak soak-kills check check-deploy docs format bench bench-gpu ui clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: thaw needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@rm -f $(VENV)/.installed-dev $(VENV)/.installed-services $(VENV)/.installed-deploy $(VENV)/.installed-browser $(VENV)/.installed-bench
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

$(VENV)/.installed-services: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[services]'
	@touch $@

$(VENV)/.installed-browser: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[browser]'
	@touch $@

$(VENV)/.installed-deploy: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[deploy]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@

run: $(VENV)/.installed  ## Install, run the whole pipeline (dvc repro), show what came out
	thaw upgrade
	thaw check
	dvc repro
	@thaw report

test: $(VENV)/.installed-dev  ## Install what tests need and run the suite
	OMP_NUM_THREADS=1 pytest -n auto --durations=40

test-pipelines: $(VENV)/.installed-dev  ## Run whole pipelines: golden results, kills, several processes (minutes)
	OMP_NUM_THREADS=1 pytest -n auto -m pipelines --durations=20

test-gpu: $(VENV)/.installed-dev  ## Run the tests that need a GPU
	pytest -m gpu

test-browser: $(VENV)/.installed-browser  ## Run the tests of the pages in a headless Chromium (installed by apt)
	NO_SKIPS=1 pytest -m browser tests/browser tests/serving/test_pages.py

test-docs: $(VENV)/.installed-dev  ## Run every documented command, the notebook and `make run` (minutes)
	pytest -m commands tests/docs tests/test_surroundings.py

test-wheel: $(VENV)/.installed-dev  ## Build the wheel and use it in a fresh environment, and in one that MLflow builds (minutes)
	python -m tools.check_wheel

test-services: $(VENV)/.installed-services  ## Run teamwork on real servers: PostgreSQL (installed by apt), S3, MLflow
	NO_SKIPS=1 pytest -m services --timeout 1800 tests/services

soak: $(VENV)/.installed-dev  ## Run the exhaustive tests: all kill points, bit flips and backbones (hours)
	pytest -m soak --timeout 7200
	pytest -m property --hypothesis-profile soak --timeout 7200
	$(MAKE) soak-kills

ROUNDS ?= 150  # with one process, and as many with two
soak-kills: $(VENV)/.installed-dev  ## Kill the pipeline at random and compare: make soak-kills ROUNDS=5
	python -m tests.kill_soak --rounds $(ROUNDS) --processes 1
	python -m tests.kill_soak --rounds $(ROUNDS) --processes 2
	python -m tests.forked_kills --rounds $(ROUNDS) --processes 1
	python -m tests.forked_kills --rounds $(ROUNDS) --processes 2

check: $(VENV)/.installed-dev  ## Lint, types, import rules, structure, language
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python -m tools.check_structure
	python -m tools.check_language

docs: $(VENV)/.installed-dev  ## Build the documentation into site/: open site/index.html, or `mkdocs serve` for its search
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

check-deploy: $(VENV)/.installed-deploy  ## Check the files in deploy/ with the validators of their formats
	python -m tools.check_deploy

format: $(VENV)/.installed-dev  ## Format the code and fix what can be fixed
	ruff format .
	ruff check --fix .

bench: $(VENV)/.installed-$(if $(filter method,$(TARGETS)),bench,dev)  ## Measure figures of the docs: make bench TARGETS="pipeline"; alone it lists the targets
	@python -m benchmarks $(TARGETS)

bench-gpu:  ## The benchmark `gpu` on a machine without .venv: OPTIONS="--only bare"; WHEELS=DIR installs packages from there, without network
	$(if $(WHEELS),$(PYTHON) -m pip install --quiet --upgrade --no-index --no-deps --target .bench-site $(WHEELS)/*.whl)
	PYTHONPATH=$(CURDIR)/src:$(CURDIR)/.bench-site:$$PYTHONPATH $(PYTHON) -m benchmarks.gpu $(OPTIONS)

ui: $(VENV)/.installed  ## Open the MLflow UI on this project's store: http://127.0.0.1:5000
	thaw ui

MODELS := $(addprefix models/,warmup_head unfreeze fold_bn/affine fold_bn/merged)
OUTPUTS := data/prepared models/warmup_head models/unfreeze models/fold_bn
clean: $(VENV)/.installed  ## Remove what the stages wrote and cached (not the MLflow store, not DVC's cache)
	thaw check
	rm -rf .thaw
	rm -f $(addprefix data/prepared/,manifest.csv images.bin index.npy pack.json)
	rm -f $(foreach file,model.json model.safetensors statistics.safetensors,$(addsuffix /$(file),$(MODELS)))
	@find $(wildcard $(OUTPUTS)) /dev/null -depth -type d -empty -delete
