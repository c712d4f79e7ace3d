# Bare `make` lists the targets. ARGS reaches the program behind: make test ARGS="-k align -x"

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet install
ARGS =
PYTHONS =

help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.dev ## .venv with everything for the checks and the tests

demo: $(VENV)/.demo ## train on a simulated pump, break it, see the alert arrive over MQTT
	@$(BIN)/edge-lstm demo $(ARGS)

check: $(VENV)/.dev ## format, lint, types, import rules, spelling, generated documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/python docs/generate.py --check

fix: $(VENV)/.dev ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(VENV)/.dev ## all tests but the benchmarks
	$(BIN)/python -m pytest $(ARGS)

test-runtimes: $(VENV)/.dev ## golden vectors on every interpreter version in range: PYTHONS="python3.11 python3.13"
	$(BIN)/python -m tests.boards.runtimes $(foreach python,$(PYTHONS),--python $(python)) $(ARGS)

test-arm64: $(VENV)/.dev ## selftest, replay and daemon on emulated Raspberry Pis (needs qemu-user-static, gcc-arm-linux-gnueabihf, mosquitto)
	$(BIN)/python -m tests.boards.arm $(ARGS)

install-sizes: $(VENV)/.dev ## MiB of an installation by kind; fails when the reference kernel's is over 5 MB
	$(BIN)/python -m tests.boards.sizes

bench: $(VENV)/.dev ## latency, memory and start-up on this machine
	$(BIN)/python -m pytest tests/benchmark -s $(ARGS)

bench-detection: $(VENV)/.dev ## detection on real recordings against baselines: writes docs/benchmarks.md
	$(BIN)/python -m tests.benchmark.detection $(ARGS)

bench-int8: $(VENV)/.dev ## int8 against float, every cell: writes its block of docs/benchmarks.md
	$(BIN)/python -m tests.benchmark.int8 $(ARGS)

bench-daemon: $(VENV)/.dev ## the daemon's speed, delay, memory and wear (needs mosquitto): writes its block of docs/benchmarks.md
	$(BIN)/python -m tests.benchmark.daemon $(ARGS)

torture: $(VENV)/.dev ## 2,000 kills, 300 power cuts, 100 broker crashes: writes docs/proof.md (needs root and mosquitto)
	$(BIN)/edge-lstm torture --size long --write docs/proof.md $(ARGS)

docs: $(VENV)/.dev ## write the generated documents anew: command reference and JSON Schemas
	$(BIN)/python docs/generate.py

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) .boards build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The files below say what .venv holds, so that nothing is installed twice.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "edge-lstm needs Python 3.11 to 3.13, got: $$($(PYTHON) --version 2>&1); name one: make PYTHON=python3.11" >&2; \
	  exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.made
	@echo "installing edge-lstm[demo] into $(VENV) (TensorFlow among it: some minutes, about 2 GB)" >&2
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.made
	@echo "installing edge-lstm[dev,demo] into $(VENV) (TensorFlow among it: some minutes, about 2 GB)" >&2
	@$(PIP) --editable '.[dev,demo]'
	@touch $(VENV)/.demo $@

.PHONY: help setup demo check fix test test-runtimes test-arm64 install-sizes bench bench-detection bench-int8 bench-daemon docs clean
