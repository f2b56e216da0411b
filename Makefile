# make run   sets up what is missing and opens the dashboard      make test   the same set-up, then all tests
# make lint  checks style and format                              options: make run DATA=folder PORT=8501
# PIP_OPTIONS="--proxy …" goes to pip; SYSTEM_TORCH=1 takes the PyTorch of PYTHON's own environment (a CPU build, say)
# make bench the table of speed and accuracy                      make bench DATA=folder
# make constraints  writes the exact versions that are installed into constraints.txt
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin
CONSTRAINTS := $(if $(SYSTEM_TORCH),-c .venv/torch.txt,-c constraints.txt)

# .venv sees the packages of PYTHON's own environment, and pip may not replace the PyTorch among them
define SHARE_TORCH
import site, sys
from pathlib import Path
try:
    import torch
except ImportError:
    sys.exit("SYSTEM_TORCH=1 needs a PyTorch in " + sys.prefix + ": install one there, or leave SYSTEM_TORCH out")
Path(sys.argv[1], "system.pth").write_text("\n".join(site.getsitepackages()))
Path(".venv/torch.txt").write_text("torch==" + torch.__version__)
endef
export SHARE_TORCH

.PHONY: run test lint bench setup setup-dev constraints

run: setup
	$(BIN)/python -m app --port $(PORT) $(if $(DATA),--data $(DATA))

# The processes that tests start read what the first one has compiled
test: setup-dev
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup-dev
	$(BIN)/python -m benchmarks.bench $(if $(DATA),--data $(DATA))

setup: .venv/installed

setup-dev: .venv/installed-dev

constraints: setup-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -r requirements-dev.txt
	echo "# The exact versions that CI ran, renewed by make constraints. PyTorch itself names those of its CUDA packages." > constraints.txt
	$(BIN)/python -m pip freeze --disable-pip-version-check | grep -vE "^(nvidia|cuda|triton)" >> constraints.txt

.venv/installed-dev: .venv/installed requirements-dev.txt requirements-export.txt
	@echo "Installing what tests and benchmarks need into .venv."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) $(CONSTRAINTS) -r requirements-dev.txt
	touch .venv/installed-dev

.venv/installed: requirements.txt constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; choose one with make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(if $(SYSTEM_TORCH),$(PYTHON) -c "$$SHARE_TORCH" $$($(BIN)/python -c "import site; print(site.getsitepackages()[0])"))
	@echo "Installing the packages of requirements.txt into .venv: a few minutes, once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) $(CONSTRAINTS) -r requirements.txt
	touch .venv/installed
