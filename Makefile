# flyball: setup, demo, test, lint. Everything lives in .venv; nothing else is touched.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Where PyTorch's CPU builds are, for a pip that does not find them by itself.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ROOMS  := policies inference envs benchmarks controller

.PHONY: help setup demo test lint format clean

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## install everything into .venv

$(READY): pyproject.toml requirements/cpu.txt requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "flyball needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps "$$(grep '^torch==' requirements/cpu.txt)" || \
	  $(BIN)/pip install --quiet --no-deps --index-url $(TORCH_INDEX) "$$(grep '^torch==' requirements/cpu.txt)"
	$(BIN)/pip install --quiet --no-deps -r requirements/cpu.txt
	$(BIN)/pip install --quiet --no-deps -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@# The repository is the package: type checkers find it under its name through this link.
	mkdir -p $(VENV)/typed && ln -sfn ../.. $(VENV)/typed/flyball
	touch $@

demo: $(READY)  ## serve, learn, turn the knob; results in runs/demo
	$(BIN)/flyball demo

test: $(READY)  ## all tests, with a real engine
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --ignore tests/live
	$(BIN)/pytest tests/live

lint: $(READY)  ## ruff, mypy strict, the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(VENV)/typed && MYPYPATH=. ../bin/mypy --config-file flyball/pyproject.toml $(ROOMS:%=-p flyball.%)
	$(BIN)/lint-imports

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

clean:  ## remove the environment and caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
