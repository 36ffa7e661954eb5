# Each target sets up what it needs in .venv; only Python >= 3.11 and make have to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

.PHONY: demo test test-more test-all lint docs bench setup setup-dev clean
.DEFAULT_GOAL := help

help:
	@echo "make setup [TORCH_INDEX=address of torch's CPU wheels]   the commands, in $(VENV)"
	@echo "make setup-dev   and what tests need"
	@echo "make demo [DATA=folder in CUHK layout] [WEIGHTS=backbone.safetensors]   the whole job in miniature"
	@echo "make test        the tests of every change"
	@echo "make test-more   those that train on Ray, kill processes or start a Ray of their own"
	@echo "make test-all    all of them, the slow ones too"
	@echo "make lint        ruff and mypy"
	@echo "make docs        the documentation's site, in site/"
	@echo "make bench       measurements (minutes)"

setup: $(READY)

setup-dev: $(READY_DEV)

# pip shows what it does where a person waits, and not in CI's log. CPU-only wheels have a local version (2.x+cpu), which
# pip takes for the newer one and constraints.txt's `==` lets through
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt \
	$(if $(CI),--quiet) $(if $(TORCH_INDEX),--extra-index-url '$(TORCH_INDEX)')
NEW := $(PYTHON) -c 'import sys; sys.exit("dbd_ray needs Python >= 3.11: run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)' \
	&& $(PYTHON) -m venv $(VENV)

# what the commands and the demo need
$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): pip fetches gigabytes the first time, and shows each package"
	@$(NEW)
	@$(PIP) -e '.[demo]'
	@touch $(READY)
	@echo "Ready: . $(BIN)/activate, then dbd-ray --help; dbd-ray doctor tells what it finds here"

# and what tests, lint and docs need besides
$(READY_DEV): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) with what tests need: pip fetches gigabytes the first time, and shows each package"
	@$(NEW)
	@$(PIP) -e '.[dev]'
	@touch $(READY) $(READY_DEV)

demo: $(READY)
	@$(BIN)/python jobs/demo.py $(if $(DATA),--data '$(DATA)') $(if $(WEIGHTS),--weights '$(WEIGHTS)')

# a file's tests stay in one process, with one Ray; what kills processes or starts a cluster runs alone: beside another Ray
# it would be told of too little time, or that no agent is available
PYTEST := $(BIN)/python -m pytest $(if $(CI),--durations=15)
WITHOUT_RAY := $(PYTEST) -n auto --dist loadfile tests/contract tests/unit
WITH_RAY := $(PYTEST) $(addprefix --ignore=,tests/contract tests/unit)
PAIRED := $(WITH_RAY) -n 2 --dist loadfile

test: $(READY_DEV)
	@$(WITHOUT_RAY) -m "not slow and not gpu"
	@$(PAIRED) -m "not slow and not gpu and not chaos and not cluster and not workers"

test-more: $(READY_DEV)
	@$(PAIRED) -m "workers and not cluster and not chaos and not slow and not gpu"
	@$(WITH_RAY) -m "(cluster or chaos) and not slow and not gpu"

test-all: test test-more
	@$(WITHOUT_RAY) -m "slow or gpu"
	@$(WITH_RAY) -m "slow or gpu"

lint: $(READY_DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# strict: a link or a name that leads nowhere is an error; what is built needs no network
docs: $(READY_DEV)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "site/index.html"

bench: $(READY_DEV)
	@$(BIN)/python benchmarks/train_overhead.py
	@$(BIN)/python benchmarks/train_scaling.py
	@$(BIN)/python benchmarks/serve_load.py
	@$(BIN)/python benchmarks/serve_memory.py
	@$(BIN)/python benchmarks/serve_recovery.py

clean:
	rm -rf $(VENV)
