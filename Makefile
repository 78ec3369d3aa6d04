# Everything a contributor runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := constraints/dev.txt constraints/uv.txt

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

# uv links packages from its cache, so a second checkout gets its environment in seconds.
$(VENV)/.ready: $(LOCKS) pyproject.toml
	@echo "environment: $(VENV) from constraints/dev.txt"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints/uv.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes constraints/dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: venv
venv: $(VENV)/.ready ## The Python environment, from the hash-locked constraint files

.PHONY: lock
lock: venv ## Resolve the constraint files anew from pyproject.toml
	@hack/lock.sh

.PHONY: format
format: venv ## Rewrite the code in the project's format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

.PHONY: generate
generate: venv ## Write crds/*.yaml and the chart's copies from the pydantic models
	@$(BIN)/python -m trainyard_api.generate

.PHONY: check
check: venv ## Format, lint, types, layers, generated files: seconds
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m trainyard_api.generate --check
