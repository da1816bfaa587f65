# Everything a newcomer types. Set-up is part of every target that needs it, and instant once it is done.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast sweep mutants e2e-small matrix chaos lint train bench bench-failover clean

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
SEED ?= $(shell date +%s)
# One thread a process: two collapse when anything else runs on the same cores (see README, "Limits").
export OMP_NUM_THREADS ?= 1

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install everything into .venv beside building the control plane
	@$(PYTHON) -m setup setup

demo: ## Set-up, then a model over 256 GPUs of an embedded cluster; one of them dies (DEMO_KEEP=0: take it down after)
	@$(PYTHON) -m setup demo
	@exec $(BIN)/python -m demo $(DEMO_FLAGS)

test: ## Set-up, then lint and every test, with a real control plane
	@$(PYTHON) -m setup test
	@$(MAKE) --no-print-directory checks
	$(PYTEST) tests

test-fast: ## The tests that need no cluster: seconds, for while you work
	@$(PYTHON) -m setup setup
	$(PYTEST) tests -m "not cluster and not e2e and not slow"

sweep: ## Look for new failures: random examples and histories (SEED=n), the operator killed around every write
	@$(PYTHON) -m setup test
	$(PYTEST) tests -m "not cluster and not e2e and not slow" --hypothesis-profile=sweep --hypothesis-seed=$(SEED) -k "not simulation"
	MOE_FIRST_SEED=$(SEED) MOE_HISTORIES=20000 $(PYTEST) tests/moe_worker/protocol/simulation
	MOE_EVERY_NTH_WRITE=1 $(PYTEST) tests/moe_operator/test_faults.py tests/moe_operator/test_cluster_writes.py

mutants: ## Break each rule of the protocol, the operator and the gateway once, and see the tests fail (minutes)
	@$(PYTHON) -m setup setup
	$(PYTEST) tests/moe_worker/protocol/simulation/test_mutants.py
	$(BIN)/python -m tests.mutants

e2e-small: ## End to end on 2 stages x 4 ranks: load, a killed rank, a dead GPU
	@$(PYTHON) -m setup setup
	$(PYTEST) tests/e2e/test_small.py -s

matrix: ## Every failure of the matrix under load, on a small cluster of its own (minutes)
	@$(PYTHON) -m setup setup
	$(PYTEST) tests/e2e -k test_matrix -s

lint: ## Ruff, mypy and the import contracts
	@$(PYTHON) -m setup setup
	@$(MAKE) --no-print-directory checks

.PHONY: checks
checks:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

train: ## Train the model in models/ anew: about an hour, with text from Debian's packages (see models/speaking)
	@$(PYTHON) -m setup setup
	$(BIN)/python -m training

bench: ## Benchmarks (see benchmarks/README.md)
	@$(PYTHON) -m setup demo
	$(BIN)/python -m benchmarks

bench-failover: ## What a failure costs at 256 ranks: stalls, group restart, plots (FLAGS="--minutes 28 --kills 50")
	@$(PYTHON) -m setup demo
	$(BIN)/python -m benchmarks.failover $(FLAGS)

KILLS ?= 1000
chaos: ## Random failures of every kind under load, on a cluster of its own (SEED=n KILLS=n; about 4 s each)
	@$(PYTHON) -m setup demo
	$(BIN)/python -m benchmarks.chaos --seed $(SEED) --kills $(KILLS) $(FLAGS)

clean: ## Take the embedded cluster down and remove what was made here (the built control plane stays in its cache)
	@if [ -x $(BIN)/moe-local ] && [ -d .moe-local ]; then $(BIN)/moe-local down; fi
	rm -rf .venv .venv.lock .moe-local .bench dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
