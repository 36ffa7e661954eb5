# Each target sets up what it needs in .venv; only Python >= 3.11 and make have to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-more test-all lint docs bench setup clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [DATA=folder in CUHK layout] [WEIGHTS=backbone.safetensors]   the whole job in miniature"
	@echo "make test        the tests of every change"
	@echo "make test-more   those that train on Ray, kill processes or start a Ray of their own"
	@echo "make test-all    all of them, the slow ones too"
	@echo "make lint        ruff and mypy"
	@echo "make docs        the documentation's site, in site/"
	@echo "make bench       measurements (minutes)"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (some minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit("dbd_ray needs Python >= 3.11: run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

demo: $(READY)
	@$(BIN)/python jobs/demo.py $(if $(DATA),--data '$(DATA)') $(if $(WEIGHTS),--weights '$(WEIGHTS)')

# what starts neither Ray nor a browser runs in as many processes as there are cores, the rest one by one on one Ray
APART := tests/contract tests/unit
TOGETHER := $(BIN)/python -m pytest -n auto --dist loadfile $(APART)
ONE_BY_ONE := $(BIN)/python -m pytest $(addprefix --ignore=,$(APART))

test: $(READY)
	@$(TOGETHER) -m "not slow and not gpu"
	@$(ONE_BY_ONE) -m "not slow and not gpu and not chaos and not cluster and not workers"

test-more: $(READY)
	@$(ONE_BY_ONE) -m "(chaos or cluster or workers) and not slow and not gpu"

test-all: $(READY)
	@$(TOGETHER)
	@$(ONE_BY_ONE)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# strict: a link or a name that leads nowhere is an error; what is built needs no network
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "site/index.html"

bench: $(READY)
	@$(BIN)/python benchmarks/train_overhead.py
	@$(BIN)/python benchmarks/train_scaling.py
	@$(BIN)/python benchmarks/serve_load.py
	@$(BIN)/python benchmarks/serve_memory.py
	@$(BIN)/python benchmarks/serve_recovery.py

clean:
	rm -rf $(VENV)
