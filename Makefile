# make run   sets up what is missing and opens the dashboard      make test   the same set-up, then all tests
# make lint  checks style and format                              options: make run DATA=folder PORT=8501
# make bench the table of speed and accuracy                      make bench DATA=folder
PYTHON ?= python3
PORT ?= 8501
BIN := .venv/bin

.PHONY: run test lint bench setup

run: setup
	$(BIN)/python -m app --port $(PORT) $(if $(DATA),--data $(DATA))

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: setup
	$(BIN)/python -m benchmarks.bench $(if $(DATA),--data $(DATA))

setup: .venv/installed

.venv/installed: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; choose one with make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	@echo "Installing the packages of requirements.txt into .venv: a few minutes, once."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch .venv/installed
