# Everything a contributor runs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Each worker has a cluster of its own, and what runs there takes as much of the processors as the worker itself.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
LOCKS := constraints/dev.txt constraints/uv.txt

# Which cluster: kind where Docker answers, host (a node on this machine, as root), process (pods as local processes).
CLUSTER ?= trainyard
CLUSTER_KIND ?= auto
PYTEST_ARGS ?=

.PHONY: help
help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-16s %s\n", $$1, $$2}'

# uv links packages from its cache, so a second checkout gets its environment in seconds.
$(VENV)/.ready: $(LOCKS) pyproject.toml
	@echo "environment: $(VENV) from constraints/dev.txt"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "$(PYTHON) is older than Python 3.11: install a newer one and name it, e.g. make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) \
	|| { echo "$(PYTHON) has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
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
generate: venv ## Write crds/*.yaml, the chart's copies of them and its README
	@$(BIN)/python -m trainyard_api.generate
	@$(BIN)/python hack/chart_readme.py

.PHONY: check
check: venv ## Format, lint, types, layers, generated files: seconds
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m trainyard_api.generate --check
	@$(BIN)/python hack/chart_readme.py --check

.PHONY: images
images: venv ## Build the images, Torch's included, so that clusters to come begin with them
	@$(BIN)/python hack/demo images

.PHONY: tools
tools: venv ## Build the programs that clusters and tests need (minutes on a new machine)
	@$(BIN)/python hack/tools.py

.PHONY: demo
demo: venv ## From nothing to trained and served models on a real cluster, followed live
	@$(BIN)/python hack/demo up --name $(CLUSTER) --kind $(CLUSTER_KIND)

.PHONY: demo-down
demo-down: venv ## Remove the demo with its cluster
	@$(BIN)/python hack/demo down --name $(CLUSTER)

.PHONY: cluster-up
cluster-up: venv ## A local Kubernetes (CLUSTER=name, CLUSTER_KIND=auto|kind|host|process|control-plane)
	@$(BIN)/python hack/cluster up --name $(CLUSTER) --kind $(CLUSTER_KIND)

.PHONY: cluster-down
cluster-down: venv ## Take it away, with everything it left on this machine
	@$(BIN)/python hack/cluster down --name $(CLUSTER)

.PHONY: test
test: venv tools ## Every test: unit, integration (real API server), e2e (real node, images, chart)
	@$(BIN)/pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

.PHONY: test-unit
test-unit: venv ## Tests without a cluster: seconds
	@$(BIN)/pytest tests/unit $(PYTEST_ARGS)

.PHONY: test-integration
test-integration: venv tools ## Tests on a real etcd, API server and controllers
	@$(BIN)/pytest tests/integration $(PYTEST_ARGS)

.PHONY: test-e2e
test-e2e: venv tools ## Tests on a real node with the images and the chart
	@$(BIN)/pytest tests/e2e $(PYTEST_ARGS)

.PHONY: test-docker
test-docker: venv ## Every image built by a Docker daemon of its own, and run; kind up to its node (root on Debian; minutes, 20 GB)
	@TRAINYARD_TEST_DOCKER=all $(BIN)/pytest tests/e2e/test_docker.py $(PYTEST_ARGS)

.PHONY: test-matrix
test-matrix: venv ## The tests that meet an API server, on every supported Kubernetes (MATRIX="1.31 1.36")
	@PYTHONPATH=hack PYTEST_ARGS="$(SIDE_BY_SIDE) $(PYTEST_ARGS)" $(BIN)/python hack/matrix.py $(MATRIX)

.PHONY: bench
bench: bench-burst bench-trainer ## Benchmarks, each beside its baseline in the same run

.PHONY: bench-trainer
bench-trainer: venv ## The trainer beside the bare library; its speed, memory and imports (about 10 minutes)
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/trainer_overhead.py
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/trainer_speed.py
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/reading.py

.PHONY: bench-reading
bench-reading: venv ## A CSV of 5 million rows beside Arrow alone (BENCH_ARGS="--rows 500000")
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/reading.py $(BENCH_ARGS)

.PHONY: bench-accuracy
bench-accuracy: venv ## Models of real data beside naive ones and the aims (BENCH_ARGS="--only ai4i --data DIR")
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/accuracy.py $(BENCH_ARGS)

.PHONY: bench-forecasts
bench-forecasts: venv ## Forecasts beside statsforecast and mlforecast: errors and CPU (BENCH_ARGS="--throughput 1000")
	@PYTHONPATH=. $(BIN)/python tests/benchmarks/forecasts.py $(BENCH_ARGS)

.PHONY: bench-faults
bench-faults: venv ## A real node whose API server stands still for ten minutes, and 20 kills of the leader (BENCH_ARGS="--outage 60")
	@PYTHONPATH=.:hack $(BIN)/python -m tests.benchmarks.node_faults $(BENCH_ARGS)

.PHONY: bench-nights
bench-nights: venv ## Thirty nights of a growing table on a real node: what takes over, and what never does
	@PYTHONPATH=.:hack $(BIN)/python -m tests.benchmarks.thirty_nights $(BENCH_ARGS)

.PHONY: bench-rollback
bench-rollback: venv ## Rollback of a model beside `kubectl rollout undo`, and requests that failed meanwhile
	@PYTHONPATH=.:hack $(BIN)/python -m tests.benchmarks.rollback $(BENCH_ARGS)

.PHONY: bench-burst
bench-burst: venv ## From apply to the Job: bursts of TrainingJobs beside plain Jobs (BENCH_ARGS="--sizes 100")
	@PYTHONPATH=hack $(BIN)/python -m tests.benchmarks.burst $(BENCH_ARGS)

.PHONY: bench-queue
bench-queue: venv ## Many TrainingJobs with few slots, next to plain Jobs (BENCH_ARGS="--jobs 600 --slots 50")
	@PYTHONPATH=hack $(BIN)/python -m tests.benchmarks.admission $(BENCH_ARGS)
