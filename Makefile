# resight. `make help` lists what there is. Everything works in .venv, which is made when first needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTOS ?=
.DEFAULT_GOAL := help
.PHONY: help demo test lint types bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  make demo PHOTOS=~/Pictures   the demonstration on your own photographs'

# Quick when nothing changed: the stamps are newer than pyproject.toml.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "resight needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing resight into $(VENV) (once; about two minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable .
	@touch $@

demo: $(VENV)/.installed  ## index real photographs, search them, write an HTML report
	@$(BIN)/resight demo $(if $(PHOTOS),--photos '$(PHOTOS)')
	@echo '  (commands need the environment:  source $(VENV)/bin/activate)'

test: $(VENV)/.developed  ## the tests, in two processes of one thread each
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=15

lint: $(VENV)/.developed  ## ruff: style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.developed  ## mypy --strict on the package
	@$(BIN)/mypy

bench: $(VENV)/.developed  ## the measurements of benchmarks/RESULTS.md
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:  ## remove the environment and the demonstration
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache
